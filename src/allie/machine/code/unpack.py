"""Compile the client archive once for each version, to a place from which its modules are loaded.

    /var/lib/allie-code/<sha256 of the archive>/   written by root alone, readable by all
        archive                                    a copy: sources for tracebacks, the man pages
        modules.<python>                           the compiled code of all modules in one file
        complete                                   the archives and Pythons that it is good for

An archive that is broken, or that would unpack to more than a client is, is passed over.

Compiling the sources at each start would double a tick's cost, and a file for each module would add
5 ms. Not root, no room, a read-only disk: the code runs from the archive itself, only slower.

This runs from the archive, before anything else of ALLiE (`cli.start`): so it imports little.

docs/internals/rules.md, "A new client is tried first".
"""

from __future__ import annotations

import io
import marshal
import os
import zipfile
import zlib

from allie.core import digest
from allie.machine.code.cache import CODE, MODULES, is_roots, mark_of

_LARGEST = 32 << 20  # bytes, packed or unpacked; a client is a hundredth of that
_MOST_MARKS = 15  # copies of one archive that are known, beside the newest
_UMASK = 0o022  # users run it, too
# What zipfile and compile() say of an archive that is cut short, encrypted, or no program
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, SyntaxError, ValueError)


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
        place = f"{CODE}/{digest.of(body)}"
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


def _compiled(body: bytes, place: str) -> dict[str, tuple[bool, str, bytes]]:
    """The code of all modules of an archive, as it is called at `place`: see machine.code.finder.

    Raises ValueError where it would unpack to too much.
    """
    table = {}
    with zipfile.ZipFile(io.BytesIO(body)) as packed:
        if sum(each.file_size for each in packed.infolist()) > _LARGEST:
            raise ValueError("it is larger than any client")
        for path in packed.namelist():
            if path.startswith("allie/") and path.endswith(".py"):
                file = f"{place}/archive/{path}"
                code = compile(packed.read(path), file, "exec", dont_inherit=True)
                module, _, last = path[: -len(".py")].replace("/", ".").rpartition(".")
                is_package = last == "__init__"
                module = module if is_package else f"{module}.{last}"
                table[module] = (is_package, path, marshal.dumps(code))
    return table


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
