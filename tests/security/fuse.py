"""A user mounts a FUSE file system that answers nothing: as any user may, by fusermount(1)."""

from __future__ import annotations

import array
import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.worlds.served_mount import serving


def program() -> str:
    """fusermount, of either version; "" where there is none."""
    return shutil.which("fusermount3") or shutil.which("fusermount") or ""


@contextmanager
def silent(where: Path) -> Iterator[None]:
    """Mount one there, as a user. Whoever may enter it waits for as long as it is there."""
    uid = pwd.getpwnam("daemon").pw_uid  # fusermount wants one that has a name
    os.chown(where, uid, uid)
    for above in where.parents:  # pytest's own are root's alone
        if above.stat().st_uid == 0 and above != Path("/"):
            above.chmod(above.stat().st_mode | 0o111)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        argv = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", program()]
        subprocess.run(
            [*argv, "-o", "nonempty" if program().endswith("fusermount") else "ro", str(where)],
            env={**os.environ, "_FUSE_COMMFD": str(theirs.fileno())},
            pass_fds=[theirs.fileno()],
            check=True,
            timeout=20,
        )
        descriptors = array.array("i", [0])
        _, ancillary, _, _ = ours.recvmsg(1, socket.CMSG_LEN(descriptors.itemsize))
        descriptors.frombytes(ancillary[0][2][: descriptors.itemsize])
        try:
            yield
        finally:
            os.close(descriptors[-1])
            subprocess.run(["umount", "-l", str(where)], check=False)


# Mounts as root what says that it is a user's and that all may enter; answers the first request,
# takes all others, and says nothing more. argv: the mount point, the user.
_HANGS = """
import ctypes, os, struct, sys
fuse = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fuse},rootmode=40000,user_id={sys.argv[2]},group_id=1,allow_other".encode()
if ctypes.CDLL(None).mount(b"x", sys.argv[1].encode(), b"fuse.x", 6, options):
    sys.exit("not mounted")
request = os.read(fuse, 1 << 18)
number, = struct.unpack_from("<Q", request, 8)
body = struct.pack("<IIIIHHIIHHII", 7, 31, 65536, 0, 16, 12, 65536, 1, 0, 0, 0, 0) + bytes(24)
os.write(fuse, struct.pack("<IiQ", 16 + len(body), 0, number) + body)
print("mounted", flush=True)
try:
    while True:
        os.read(fuse, 1 << 18)
except OSError:
    print("ended", flush=True)
"""


@contextmanager
def hanging(where: Path, user: int = 1) -> Iterator[subprocess.Popen[str]]:
    """One that all may enter, whose program takes every request and never answers."""
    try:
        with serving(_HANGS, where, user) as program:
            yield program
    finally:
        subprocess.run(["umount", "-l", str(where)], check=False)
