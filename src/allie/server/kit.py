"""Build the kit: the overlay of ALLiE's own files, `overlays/kit`, client archive included.

The archive is reproducible byte for byte (fixed times, sorted names, no compression), since it is
itself a file of an overlay: it must not change when nothing changed.
"""

from __future__ import annotations

import io
import os
import sys
import zipfile

import allie
from allie.core import stubs, system
from allie.machine.files import atomic

# What stands before the zip
_HEADER = f"""\
#!/bin/sh
python=/usr/bin/python3
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
_PACKAGE = os.path.dirname(os.path.abspath(allie.__file__))
_SERVERS = ("server/", "cli/store")
_EPOCH = (1980, 1, 1, 0, 0, 0)


def archive() -> bytes:
    """The client: every module that does not need the server's, and the man pages."""
    members = {"__main__.py": _MAIN, "start.py": _read("machine/code/cache.py") + _START}
    for name in _files():
        body = _read(name)
        is_command = name.startswith("cli/")
        if name.startswith(_SERVERS) or (is_command and b"allie.server" in body):
            continue
        members[f"allie/{name}"] = body
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as file:
        for name in sorted(members):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.external_attr = 0o644 << 16
            file.writestr(info, members[name])
    return _HEADER + packed.getvalue()


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
