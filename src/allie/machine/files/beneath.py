"""Open a path below an open directory: through no symlink, no other mount, and never out of it.

Where a path may be another's (a user's directory, a disk that somebody plugged in), a link on the
way would let him choose which file root reads or writes. The kernel refuses such ways by itself
(openat2(2), Linux 5.6). Where it cannot (EL 8, Ubuntu 20.04, some containers), each directory on
the way is opened by its own name, which is slower and comes to the same.
"""

from __future__ import annotations

import errno
import os
import stat
import sys

from allie.machine import libc
from allie.machine.mounts.user_mounts import mount_of

_ORDER = sys.byteorder
_OPENAT2 = 437  # its number on every architecture (asm-generic/unistd.h)
_WITHIN = 0x01 | 0x04 | 0x08  # linux/openat2.h: RESOLVE_NO_XDEV, _NO_SYMLINKS, _BENEATH
_PROBE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_UNKNOWN = (errno.ENOSYS, errno.EPERM, errno.EINVAL)  # a container may say EPERM to what is new
_kernel_can = True  # until it says that it cannot


def open_beneath(dirfd: int, path: str, flags: int, mode: int = 0) -> int:
    """A descriptor of `path`, which is relative to the directory `dirfd`; "" is that directory.

    Raises OSError: ELOOP where a component is a symlink (the last one too, but with
    O_PATH | O_NOFOLLOW), EXDEV where the way leads out (`..`, a leading slash) or onto another
    mount. O_CLOEXEC is always set. A fifo blocks, as by open(2), unless O_NONBLOCK is given.
    """
    global _kernel_can
    if path.startswith("/") or "/../" in f"/{path}/":
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
    flags |= os.O_CLOEXEC
    if _kernel_can:
        try:
            return _by_kernel(dirfd, path or ".", flags, mode)
        except OSError as error:
            if error.errno not in _UNKNOWN:
                raise OSError(error.errno, error.strerror, path) from None
            _kernel_can = error.errno != errno.ENOSYS
    return _by_hand(dirfd, path, flags, mode)


def _by_kernel(dirfd: int, path: str, flags: int, mode: int) -> int:
    mode = mode if flags & (os.O_CREAT | os.O_TMPFILE & ~os.O_DIRECTORY) else 0
    if not flags & os.O_PATH:
        flags |= os.O_LARGEFILE
    how = b"".join(each.to_bytes(8, _ORDER) for each in (flags, mode, _WITHIN))
    return libc.call("syscall", _OPENAT2, dirfd, os.fsencode(path) + b"\0", how, len(how))


def _by_hand(dirfd: int, path: str, flags: int, mode: int) -> int:
    """The same, a component at a time, each of them kept open before the next is looked for."""
    *above, name = [each for each in path.split("/") if each not in ("", ".")] or ["."]
    mount = mount_of(dirfd)
    here = os.dup(dirfd)
    try:
        for component in above:
            below = _step(here, component, path, mount)
            os.close(here)
            here = below
        try:
            os.close(_probed(here, name, path, mount, flags))
        except FileNotFoundError:
            if not flags & os.O_CREAT:
                raise
        found = os.open(name, flags | os.O_NOFOLLOW, mode, dir_fd=here)
    finally:
        os.close(here)
    return _on(mount, found, path)


def _step(here: int, component: str, path: str, mount: str) -> int:
    """The directory `component` of the directory `here`."""
    below = _probed(here, component, path, mount, 0)
    if not stat.S_ISDIR(os.fstat(below).st_mode):
        os.close(below)
        raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    return below


def _probed(here: int, name: str, path: str, mount: str, flags: int) -> int:
    """What a name stands for, by O_PATH: no link (unless one is wanted), no other mount."""
    found = os.open(name, _PROBE, dir_fd=here)
    wants_link = flags & os.O_PATH and flags & os.O_NOFOLLOW
    if stat.S_ISLNK(os.fstat(found).st_mode) and not wants_link:
        os.close(found)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    return _on(mount, found, path)


def _on(mount: str, found: int, path: str) -> int:
    """The descriptor, if it is on that mount; it is closed otherwise."""
    try:
        if mount_of(found) == mount:
            return found
    except OSError:
        os.close(found)
        raise
    os.close(found)
    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
