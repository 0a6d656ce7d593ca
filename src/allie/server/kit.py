"""Build the kit: the overlay of ALLiE's own files, `overlays/kit`, client archive included.

The archive is reproducible byte for byte (fixed times, sorted names, a given compression), since it
is itself a file of an overlay: it must not change when nothing changed. Beside the sources it has
them compiled for this server's Python, which is mostly that of its PCs, too: there nothing need be
compiled. With any other Python it is as if that were not there. Both are deflated, and taken apart
once for each version; what an archive begins with is not.
"""

from __future__ import annotations

import functools
import io
import marshal
import os
import sys
import zipfile
import zlib

import allie
from allie.core import stubs, system
from allie.core.value import Value
from allie.machine.code import unpack
from allie.machine.code.cache import CODE
from allie.machine.files import atomic
from allie.machine.programs import process
from allie.server import compile_client

_PYTHON = "/usr/bin/python3"  # what runs the client, here and on the PCs, if there is one
# What stands before the zip
_HEADER = f"""\
#!/bin/sh
python={_PYTHON}
[ -x "$python" ] || python=$(command -v python3) || {{
    echo "allie: needs Python 3.9 or newer: install the package python3" >&2
    exit 2
}}
exec "$python" {stubs.BEGIN} "$0" "$@"
""".encode()
_MAIN = b"from start import main\nmain()\n"  # for `python3 ARCHIVE`
# The end of start.py, after the text of machine/code/cache.py: only that can load the rest.
_START = b"""

def main():
    loaded = load()
    from allie.cli.start import main as begin

    return begin(loaded)
"""
# What an archive imports from itself before it is unpacked; of these it has .pyc files, too.
_FIRST = """
    start.py allie/__init__.py allie/cli/__init__.py allie/cli/start.py
    allie/core/__init__.py allie/core/digest.py allie/machine/__init__.py
    allie/machine/code/__init__.py allie/machine/code/cache.py allie/machine/code/unpack.py
""".split()
_PACKAGE = os.path.dirname(os.path.abspath(allie.__file__))
_SERVERS = ("server/", "cli/store")
_EPOCH = (1980, 1, 1, 0, 0, 0)
_LEVEL = 9  # of compression


class _Compiled(Value):
    """The client compiled, by one Python: see `compile_client`."""

    magic: bytes
    tag: str
    table: unpack.Table
    files: dict[str, bytes]


def archive() -> bytes:
    """The client: every module that does not need the server's, and the man pages."""
    members = {"__main__.py": _MAIN, "start.py": _read("machine/code/cache.py") + _START}
    for name in _files():
        body = _read(name)
        is_command = name.startswith("cli/")
        if name.startswith(_SERVERS) or (is_command and b"allie.server" in body):
            continue
        members[f"allie/{name}"] = body
    compiled = _compiled({name: body for name, body in members.items() if name[-3:] == ".py"})
    if compiled:
        members.update(compiled.files)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as file:
        for name in sorted(members):
            _add(file, name, members[name])
        if compiled:
            before, modules = _HEADER + packed.getvalue(), _deflated(unpack.packed(compiled.table))
            check = unpack.check_of(before, modules, compiled.magic)
            _add(file, f"modules.{compiled.tag}", check + modules)
    return _HEADER + packed.getvalue()


def _add(file: zipfile.ZipFile, name: str, body: bytes) -> None:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.external_attr = 0o644 << 16
    is_read_once = name.startswith("allie/") and name.removesuffix("c") not in _FIRST
    file.writestr(info, body, zipfile.ZIP_DEFLATED if is_read_once else None, _LEVEL)


def _deflated(body: bytes) -> bytes:
    """As a zip file's members are (RFC 1951)."""
    deflate = zlib.compressobj(_LEVEL, wbits=-zlib.MAX_WBITS)
    return deflate.compress(body) + deflate.flush()


def _compiled(sources: dict[str, bytes]) -> _Compiled | None:
    """The client compiled, from its sources by path; None if there is no Python 3.9 here for it."""
    top = f"{CODE}/{unpack.UNNAMED}/archive"
    table = unpack.table_of(path for path in sources if path.startswith("allie/"))
    modules = [
        (name, is_package, path, sources[path], f"{top}/{path}")
        for name, (is_package, path, _) in sorted(table.items())
    ]
    files = [(path, sources[path], f"/{system.ARCHIVE}/{path}") for path in _FIRST]
    python = _PYTHON if os.path.exists(_PYTHON) else sys.executable
    return _answer(python, marshal.dumps((modules, files)))


@functools.lru_cache(maxsize=1)
def _answer(python: str, question: bytes) -> _Compiled | None:
    # No -I, which would pass over the seed of the hashes
    # no_debug_ranges: tracebacks name the line, without the part of it: a tenth less to read
    argv = ["env", "PYTHONHASHSEED=0", python, "-sSBXno_debug_ranges", compile_client.__file__]
    done = process.run(argv, stdin=question)
    return _Compiled(*marshal.loads(done.out)) if done.code == 0 else None


def write(overlay: str) -> list[str]:
    """Write or refresh the kit's files in a directory; the paths that changed.

    What an administrator added there stays; what is already right keeps its times.
    """
    stub = _read("stub/stub.sh")
    files = {system.ARCHIVE: (archive(), 0o755), "root/util/rsync-image": (stub, 0o755)}
    for name in stubs.NAMES:
        files[f"{system.CONF}/{name}"] = (stub, 0o755)
    for name in (stubs.SERVICE, *stubs.TIMERS):
        files[f"{stubs.UNITS}/{name}"] = (_read(f"stub/systemd/{name}"), 0o644)
    return [path for path in sorted(files) if _refresh(f"{overlay}/{path}", *files[path])]


def _refresh(path: str, body: bytes, mode: int) -> bool:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if atomic.read_bytes(path) == body and os.lstat(path).st_mode & 0o7777 == mode:
        return False
    atomic.write(path, body, mode)
    return True


def _files() -> list[str]:
    """The package's modules and man pages, relative, sorted."""
    found = []
    for above, directories, names in os.walk(_PACKAGE):
        directories[:] = [name for name in directories if name != "__pycache__"]
        wanted = (name for name in names if name.endswith((".py", ".md", ".sh")))
        found += [os.path.relpath(os.path.join(above, name), _PACKAGE) for name in wanted]
    return sorted(found)


def _read(name: str) -> bytes:
    with open(os.path.join(_PACKAGE, name), "rb") as file:
        return file.read()


if __name__ == "__main__":  # make kit
    for changed in write(sys.argv[1]):
        sys.stdout.write(f"{sys.argv[1]}/{changed}\n")
