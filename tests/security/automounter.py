"""An automounter, as autofs or systemd is one: it mounts what is asked for, or does not."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.worlds.served_mount import serving

# linux/auto_fs.h: a packet says who asks for what; an ioctl on the point answers.
# argv: the point, direct or indirect, what to do, the directory that it mounts (or that has those)
_PROGRAM = """
import ctypes, fcntl, os, struct, sys
point, kind, does, source = sys.argv[1:]
libc = ctypes.CDLL(None)
read, write = os.pipe()
os.setpgid(0, 0)
options = f"fd={write},pgrp={os.getpgrp()},minproto=5,maxproto=5,{kind}".encode()
if libc.mount(b"auto", point.encode(), b"autofs", 0, options):
    sys.exit("not mounted")
os.close(write)
top = os.open(point, os.O_RDONLY)
print("mounted", flush=True)
READY, FAIL = 0x9360, 0x9361
while packet := os.read(read, 304):
    token, length = struct.unpack_from("<8xI28xI", packet)
    name = packet[44 : 44 + length].decode() if kind == "indirect" else ""
    print("asked", flush=True)
    if does == "refuses":
        fcntl.ioctl(top, FAIL, token)
    elif does == "mounts":
        at, what = os.path.join(point, name), os.path.join(source, name)
        os.makedirs(what, exist_ok=True)
        os.makedirs(at, exist_ok=True)
        assert libc.mount(what.encode(), at.encode(), None, 4096, None) == 0
        fcntl.ioctl(top, READY, token)
"""


def is_known() -> bool:
    """Whether this kernel has automounters."""
    return "autofs" in Path("/proc/filesystems").read_text().split()


@contextmanager
def automounter(where: Path, kind: str, does: str, source: Path) -> Iterator[None]:
    """One at a directory. kind: direct or indirect. does: mounts, refuses or nothing."""
    source.mkdir(exist_ok=True)
    try:
        with serving(_PROGRAM, where, kind, does, source):
            yield
    finally:
        table = Path("/proc/self/mountinfo").read_text().splitlines()
        points = [line.split()[4] for line in table]
        for point in reversed(points):
            if f"{point}/".startswith(f"{where}/"):
                subprocess.run(["umount", "-l", point], check=False)
