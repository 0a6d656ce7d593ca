"""Know a directory again: by its inode number, and by what tells it from one that had it before.

ext4 gives the number of a removed directory to the next one, xfs soon. What differs then is the
inode's generation (ioctl_iflags(2), FS_IOC_GETVERSION) or, where there is none (tmpfs, overlayfs),
the time of its birth (statx(2)).
"""

from __future__ import annotations

import fcntl
import os
import sys

_GETVERSION = 0x80087601  # linux/fs.h
_AT_EMPTY_PATH, _BTIME = 0x1000, 0x800  # linux/fcntl.h; linux/stat.h: STATX_BTIME
_SIZE = 256  # bytes of a struct statx
_MASK, _BIRTH = slice(0, 4), slice(80, 92)  # in it: stx_mask; stx_btime


def mark(descriptor: int) -> str:
    """What tells this directory (not opened with O_PATH) from any other of its file system."""
    st = os.fstat(descriptor)
    try:
        number = fcntl.ioctl(descriptor, _GETVERSION, b"\0" * 8)
        version = f"v{int.from_bytes(number[:4], sys.byteorder)}"
    except OSError:
        version = _birth(descriptor)
    return f"{st.st_ino} {version}"


def mark_at(path: str) -> str:
    """The mark of the directory at a path; its last component is not followed. Raises OSError."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags)
    try:
        return mark(descriptor)
    finally:
        os.close(descriptor)


def _birth(descriptor: int) -> str:
    """When it was made; "" where its file system does not say."""
    from allie.machine import libc  # noqa: PLC0415 - see HACKING.md, start-up

    found = libc.buffer(_SIZE)
    try:
        libc.call("statx", descriptor, b"\0", _AT_EMPTY_PATH, _BTIME, found)
    except OSError:
        return ""
    if not int.from_bytes(found.raw[_MASK], sys.byteorder) & _BTIME:
        return ""
    return f"b{found.raw[_BIRTH].hex()}"
