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
