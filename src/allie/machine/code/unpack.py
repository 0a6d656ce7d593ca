"""Compile the client archive once for each version, to a place from which its modules are loaded.

    /var/lib/allie-code/<sha256 of the archive>/   written by root alone, readable by all
        archive                                    a copy: sources for tracebacks, the man pages
        modules.<python>                           the compiled code of all modules (`packed`)
        complete                                   the archives and Pythons that it is good for

An archive that is broken, or larger than a client is, is passed over. The server has compiled its
modules for one Python (`server.kit`): where that is ours, they are taken from there.

Compiling the sources at each start would double a tick's cost, and a file for each module would add
5 ms. Not root, no room, a read-only disk: the code runs from the archive itself, only slower, as
this does (`cli.start`): so it imports little.

docs/internals/rules.md, "A new client is tried first".
"""

from __future__ import annotations

import marshal
import os
import zipimport
import zlib
from _collections_abc import Iterable, Iterator
from _frozen_importlib_external import MAGIC_NUMBER
from types import CodeType

from allie.core import digest
from allie.machine.code.cache import CODE, MODULES, Index, index_of, is_roots, mark_of

# module → (is it a package, its file relative to the top, its marshalled code; empty: not compiled)
Table = dict[str, tuple[bool, str, bytes]]
Entry = tuple[str, int, int, int, int, int, int, int]  # zipimport's, of a member
# What a join, a tick and `status` load; what these import at their top is found by itself. The
# rest, a third of all, is compiled when one of its modules is asked for (`add`): few PCs ever do.
_AT_ONCE = """
    cli.start cli.main cli.parsing cli.join cli.run_conf cli.status
    client.tick.part_work client.mirror.accept client.originals.packages
    machine.code.finder machine.code.unpack machine.files.removing machine.files.attributes
    machine.files.directory_identity machine.namespaces.trial
""".split()
# In the file names of code that came compiled; an archive cannot hold its own sha256.
UNNAMED = "sha256-of-this-archive".center(64, "-")
_LARGEST = 32 << 20  # bytes; a client is a thirtieth of that
# What is said of an archive that is cut short or no program, and by a Python of another zipimport
_BROKEN = (ImportError, AttributeError, RuntimeError, SyntaxError, ValueError, zlib.error)


def unpack(archive: str) -> str:
    """The directory with the code of this archive, made if need be; "" where it cannot be made."""
    if os.geteuid() != 0:
        return ""
    temporary = f"{CODE}/.new-{os.urandom(8).hex()}"
    callers = os.umask(0o022)  # users run it, too
    try:
        mark = mark_of(archive)
        with open(archive, "rb") as file:
            body = file.read(_LARGEST)
        named = digest.of_pieces([body])
        place = f"{CODE}/{named}"
        if _is_known(place, mark):
            return place
        modules = _delivered(archive, body).replace(UNNAMED.encode(), named.encode())
        modules = modules or _compiled(archive, body, f"{place}/archive")
        if not modules:
            return ""
        os.makedirs(temporary)
        files = {"archive": body, MODULES: modules, "complete": f"{mark}\n".encode()}
        for name, content in files.items():
            _write(f"{temporary}/{name}", content)
        if os.path.lexists(place):  # damaged, or not root's: `last_good` removes it
            os.rename(place, f"{CODE}/.old-{os.urandom(8).hex()}")
        os.rename(temporary, place)
        return place
    except (OSError, MemoryError, *_BROKEN):
        import shutil  # noqa: PLC0415 - a full disk gets its room back

        shutil.rmtree(temporary, ignore_errors=True)
        return ""
    finally:
        os.umask(callers)


def check_of(
    before: bytes | memoryview, modules: bytes | memoryview, magic: bytes = MAGIC_NUMBER
) -> bytes:
    """What stands before compiled code in an archive: whose it is.

    before: all that comes before it in the archive, its sources among that. magic: the number that
    Python changes whenever its compiled code does.
    """
    return digest.of_pieces([magic, before, modules]).encode()


def packed(table: Table) -> bytes:
    """A table as a file from which each module can be taken without reading the others.

    Where the index begins, in 8 bytes; all code, one after the other; the index. Its marshal is of
    version 0, which is the same whatever strings a process knows.
    """
    index, at = {}, 8
    for name, (is_package, path, code) in table.items():
        index[name] = is_package, path, at, at + len(code)
        at += len(code)
    codes = (code for _, _, code in table.values())
    return b"".join([at.to_bytes(8, "little"), *codes, marshal.dumps(index, 0)])


def table_of(paths: Iterable[str]) -> Table:
    """The modules of an archive, from the paths of their sources in it, without their code."""
    table: Table = {}
    for path in paths:
        above, _, last = path[: -len(".py")].replace("/", ".").rpartition(".")
        table[above if last == "__init__" else f"{above}.{last}"] = last == "__init__", path, b""
    return table


def _delivered(archive: str, body: bytes) -> bytes:
    """The compiled code that came in an archive, if it is for this Python and of these sources.

    It says so itself: what somebody has changed in an archive is not run as it was before.
    """
    entry = _directory(archive).get(MODULES)
    if entry is None:
        return b""
    whole = memoryview(body)  # of a megabyte, which would be copied at each slice
    known = _member(whole, entry, MODULES)
    check, modules = known[:64], known[64:]
    return _inflated(modules) if check == check_of(whole[: entry[4]], modules) else b""


def _compiled(archive: str, body: bytes, top: str) -> bytes:
    """The modules of an archive, called as if they stood below `top`; b"" where it is no client's.

    Raises one of _BROKEN.
    """
    texts = dict(_texts(archive, body))
    table = table_of(texts)
    todo = [name for name, (is_package, _, _) in table.items() if is_package]
    todo += [f"allie.{name}" for name in _AT_ONCE]
    lasts = {name.rpartition(".")[2] for name in table}
    for name in todo:  # which grows meanwhile
        is_package, path, known = table.get(name, (False, "", b"-"))
        if not known:
            code = compile(texts[path], f"{top}/{path}", "exec", dont_inherit=True)
            table[name] = is_package, path, marshal.dumps(code)
            tops = [each for each in code.co_names if each.startswith("allie")]
            below = lasts.intersection(code.co_names)
            todo += [*tops, *(f"{outer}.{each}" for outer in tops for each in below)]
    return packed(table) if "allie" in table else b""


def _texts(archive: str, body: bytes) -> Iterator[tuple[str, bytes]]:
    """The sources in an archive."""
    found, whole = _directory(archive), memoryview(body)
    if sum(size for _, _, _, size, *_ in found.values()) > _LARGEST:
        raise ValueError("it is larger than any client")
    for path, entry in found.items():
        if path.startswith("allie/") and path.endswith(".py"):
            text = _member(whole, entry, path)
            yield path, _inflated(text) if entry[1] else text.tobytes()


def _inflated(body: memoryview) -> bytes:
    """What was deflated (RFC 1951), as far as it is no larger than a client. Raises zlib.error."""
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(body, _LARGEST)


def _directory(archive: str) -> dict[str, Entry]:
    """Where each member of an archive is in it, as zipimport has read it already."""
    zipimport.zipimporter(archive)
    return zipimport._zip_directory_cache[archive]  # type: ignore[attr-defined,no-any-return]


def _member(body: memoryview, entry: Entry, path: str) -> memoryview:
    """What a member holds, packed or not. Raises ValueError where it is not where it should be."""
    _, method, size, length, at, *_ = entry
    name = path.encode()
    header = bytes(body[at : at + 30 + len(name)])
    numbers = (method, 2), (size, 4), (length, 4)
    wanted = [number.to_bytes(width, "little") for number, width in numbers]
    if header[8:10] + header[18:26] != b"".join(wanted) or header[28:] != bytes(2) + name:
        raise ValueError(f"{path} is not where it should be")
    at += len(header)
    return body[at : at + size]


def _is_known(place: str, mark: str) -> bool:
    """Whether this archive is unpacked already, from another place (a sibling's own copy).

    Its mark is then added, so that the next start finds it without reading the archive.
    """
    needed = f"{place}/complete", f"{place}/{MODULES}"
    if not all(map(os.path.exists, needed)) or not is_roots(place):
        return False
    with open(needed[0], "a", encoding="utf-8") as file:
        file.write(f"{mark}\n")
    return True


def add(archive: str, index: Index, body: bytes, name: str) -> tuple[Index, bytes]:
    """Compile a module that was left out; root all of them, for the next time.

    index, body: of the compiled code so far. Returns them with what was compiled.
    """
    is_root = os.geteuid() == 0
    table: Table = {}
    for each, (is_package, path, begin, end) in index.items():
        code = body[begin:end]
        if not code and (is_root or each == name):
            text = zipimport.zipimporter(archive).get_data(path)
            code = marshal.dumps(compile(text, f"{archive}/{path}", "exec", dont_inherit=True))
        table[each] = is_package, path, code
    made = packed(table)
    half = f"{archive}-{os.urandom(8).hex()}"
    try:
        if is_root:
            _write(half, made)
            os.rename(half, f"{os.path.dirname(archive)}/{MODULES}")
    except OSError:
        pass  # no room, or another system's view of it: it is done anew each time
    return index_of(made), made


def compiled_start(place: str) -> CodeType:
    """The code of the archive's `start.py`. place: where the archive is unpacked."""
    archive = f"{place}/archive"
    text = zipimport.zipimporter(archive).get_data("start.py")
    code: CodeType = compile(text, f"{archive}/start.py", "exec", dont_inherit=True)
    return code


def _write(path: str, content: bytes) -> None:
    """Make a new file, which is on the disk when this returns.

    Users may run what is in it, and none may write there, whatever the caller's umask is.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with open(os.open(path, flags, 0o600), "wb") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
