"""Compile the client archive once for each version, to a place from which its modules are loaded.

    /var/lib/allie-code/<sha256 of the archive>/   written by root alone, readable by all
        archive                                    a copy: sources for tracebacks, the man pages
        modules.<python>                           the modules, compiled, in one file
        complete                                   the archives and Pythons that it is good for

An archive that is broken, or larger than a client is, is passed over.

Compiling the sources at each start would double a tick's cost, and a file for each module would add
5 ms. Not root, no room, a read-only disk: the code runs from the archive itself, only slower.

This runs from the archive, before anything else of ALLiE (`cli.start`): so it imports little. What
few PCs ever load (installer, other systems, boot menus) is a third of all: it is compiled when one
of these modules is asked for (`the_rest`).

docs/internals/rules.md, "A new client is tried first".
"""

from __future__ import annotations

import marshal
import os
from collections.abc import Iterator
from types import CodeType

from allie.core import digest
from allie.machine.code.cache import CODE, MODULES, is_roots, mark_of

_LARGEST = 32 << 20  # bytes; a client is a thirtieth of that
_MOST_MARKS = 15  # copies of one archive that are known, beside the newest
_UMASK = 0o022  # users run it, too
# What is said of an archive that is cut short, or no program
_BROKEN = (RuntimeError, SyntaxError, ValueError)
# What a join, a tick and `status` load; what these import at their top is found by itself
_AT_ONCE = (
    *("cli.start", "cli.main", "cli.parsing", "cli.join", "cli.run_conf", "cli.kit_scripts"),
    "cli.status",
    *("client.tick.part_work", "client.mirror.accept", "client.originals.packages"),
    *("machine.code.finder", "machine.code.unpack", "machine.files.removing"),
    *("machine.files.attributes", "machine.files.directory_identity"),
    *("machine.namespaces.sealed_run", "machine.namespaces.trial"),
)
Table = dict[str, tuple[bool, str, bytes]]  # see machine.code.finder
# The records of a zip: of a file in the list at the end, and the last of all
_LISTED, _END = b"PK\1\2", b"PK\5\6"


def unpack(archive: str) -> str:
    """The directory with the code of this archive, made if need be; "" where it cannot be made."""
    if os.geteuid() != 0:
        return ""
    temporary = f"{CODE}/.new-{os.urandom(8).hex()}"
    callers = os.umask(_UMASK)
    try:
        mark = mark_of(archive)
        if os.path.getsize(archive) > _LARGEST:
            return ""
        with open(archive, "rb") as file:
            body = file.read()
        place = f"{CODE}/{digest.of_pieces([body])}"
        if _is_known(place, mark):
            return place
        table = marshal.dumps(_compiled(body, place))
        os.makedirs(temporary)
        for name, content in (("archive", body), (MODULES, table), ("complete", _lines([mark]))):
            _write(f"{temporary}/{name}", content)
        if os.path.lexists(place):  # damaged, or not root's: `last_good` removes it
            os.rename(place, f"{CODE}/.old-{os.urandom(8).hex()}")
        os.rename(temporary, place)
        return place
    except (OSError, MemoryError, *_BROKEN):
        _discard(temporary)
        return ""
    finally:
        os.umask(callers)


def the_rest(place: str, table: Table, name: str) -> Table:
    """The table with this module compiled; root has all of them compiled, once for all."""
    with open(f"{place}/archive", "rb") as file:
        texts = dict(_files(file.read()))
    is_root = os.geteuid() == 0
    for each, (is_package, path, code) in table.items():
        if not code and (is_root or each == name):
            code = marshal.dumps(_compile(texts[path], f"{place}/archive/{path}"))
            table[each] = is_package, path, code
    if is_root:
        half = f"{place}/.new-{os.urandom(8).hex()}"
        try:
            _write(half, marshal.dumps(table))
            os.rename(half, f"{place}/{MODULES}")
        except OSError:
            pass  # no room, or another system's view of it: it is done anew each time
    return table


def compiled_start(place: str) -> CodeType:
    """The code of the archive's `start.py`."""
    with open(f"{place}/archive", "rb") as file:
        return _compile(dict(_files(file.read()))["start.py"], f"{place}/archive/start.py")


def _compiled(body: bytes, place: str) -> Table:
    """All modules of an archive, and the code of those that are loaded often, called `place`'s."""
    texts = {path: text for path, text in _files(body) if path.startswith("allie/")}
    table: Table = {}
    for path in filter(lambda path: path.endswith(".py"), texts):
        above, _, last = path[: -len(".py")].replace("/", ".").rpartition(".")
        table[above if last == "__init__" else f"{above}.{last}"] = last == "__init__", path, b""
    todo = [name for name, (is_package, _, _) in table.items() if is_package]
    todo += [f"allie.{name}" for name in _AT_ONCE]
    lasts = {name.rpartition(".")[2] for name in table}
    for name in todo:  # which grows meanwhile
        is_package, path, known = table.get(name, (False, "", b"-"))
        if not known:
            code = _compile(texts[path], f"{place}/archive/{path}")
            table[name] = is_package, path, marshal.dumps(code)
            tops = [each for each in code.co_names if each.startswith("allie")]
            below = lasts.intersection(code.co_names)
            todo += [*tops, *(f"{top}.{each}" for top in tops for each in below)]
    return table


def _compile(text: bytes, path: str) -> CodeType:
    code: CodeType = compile(text, path, "exec", dont_inherit=True)
    return code


def _files(body: bytes) -> Iterator[tuple[str, bytes]]:
    """The files in an archive, which packs none of them. To import zipfile would cost 10 ms.

    Raises ValueError where it is none, is cut short, or has files that are packed.
    """

    def number(at: int, size: int) -> int:
        return int.from_bytes(body[at : at + size], "little")

    end = body.rindex(_END)
    at = end - number(end + 12, 4)  # the list
    begin = at - number(end + 16, 4)  # of the zip: a few lines of shell stand before it
    left = len(body)
    for _ in range(number(end + 10, 2)):
        size, name = number(at + 24, 4), number(at + 28, 2)
        left -= size
        if body[at : at + 4] != _LISTED or number(at + 10, 2) or left < 0:
            raise ValueError("it is no archive of a client")
        data = begin + number(at + 42, 4)
        data += 30 + number(data + 26, 2) + number(data + 28, 2)
        yield body[at + 46 : at + 46 + name].decode(), body[data : data + size]
        at += 46 + name + number(at + 30, 2) + number(at + 32, 2)


def _is_known(place: str, mark: str) -> bool:
    """Whether this archive is unpacked already, from another place (a sibling's own copy).

    Its mark is then added, so that the next start finds it without reading the archive.
    """
    try:
        with open(f"{place}/complete", encoding="utf-8") as file:
            known = file.read().splitlines()
    except FileNotFoundError:
        return False
    if not known or not is_roots(place) or not os.path.exists(f"{place}/{MODULES}"):
        return False
    half = f"{place}/.new-{os.urandom(8).hex()}"
    _write(half, _lines([*known[-_MOST_MARKS:], mark]))
    os.rename(half, f"{place}/complete")
    return True


def _lines(marks: list[str]) -> bytes:
    return "".join(f"{each}\n" for each in marks).encode()


def _write(path: str, content: bytes) -> None:
    """Make a new file, which is on the disk when this returns."""
    with open(path, "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _discard(temporary: str) -> None:
    """A full disk gets its room back at once; what a kill leaves, `last_good` removes in a day."""
    try:
        for name in os.listdir(temporary):
            os.unlink(f"{temporary}/{name}")
        os.rmdir(temporary)
    except OSError:
        pass
