"""mount(2), and mounts that this process and its children alone see.

Not for an ordinary tick: loading it costs (HACKING.md, start-up). What is mounted where: `mounts`.
"""

from __future__ import annotations

import ctypes
import os

from allie.core.errors import StateError

# linux/mount.h
RDONLY, NOSUID, NODEV, NOEXEC = 1, 2, 4, 8
REMOUNT, BIND, REC, PRIVATE, SLAVE = 32, 4096, 16384, 1 << 18, 1 << 19
_DETACH = 2
_NEWNS = 0x00020000  # linux/sched.h
_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> bool:
    """mount(2); whether the kernel did it."""
    encoded = [os.fsencode(each) for each in (source, target, kind)]
    more = options.encode() if options else None
    return bool(_libc.mount(*encoded, ctypes.c_ulong(flags), more) == 0)


def last_error() -> str:
    """Why the last mount of this process failed."""
    return os.strerror(ctypes.get_errno())


def unmount(target: str) -> bool:
    """Take a mount away, lazily where it is in use; whether there was one."""
    return bool(_libc.umount2(os.fsencode(target), _DETACH) == 0)


def pivot(top: str) -> None:
    """Make a mount of ours the `/` of this process and its children; the old one is out of reach.

    A chroot is left again by root; this is not. Needs a mount namespace of our own.
    """
    os.chdir(top)
    if _libc.pivot_root(b".", b".") != 0 or not unmount("."):
        reason = os.strerror(ctypes.get_errno())
        raise StateError(f"cannot make {top} the root: {reason}", "a chroot may forbid it")
    os.chdir("/")


def become_private() -> None:
    """From now on, what this process and its children mount is seen by them alone.

    It goes when the last of them ends, however that comes. Raises StateError where we are not root.
    """
    if _libc.unshare(_NEWNS) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise StateError(f"cannot make a mount namespace: {reason}", "run this as root")
    make_private()


def make_private() -> None:
    """In a mount namespace of our own: nothing of ours reaches the one that it was copied from."""
    if not mount("none", "/", "", REC | PRIVATE):
        raise StateError("/ is no mount point (a chroot?)", "mount --bind it onto itself first")
