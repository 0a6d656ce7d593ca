"""Let a file be a disk, for as long as it is open or mounted (loop(4)).

By ioctl and not by losetup, which wants a name of the file: a nameless one has none.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from _collections_abc import Iterator
from contextlib import contextmanager

_GET_FREE, _SET_FD, _SET_STATUS, _GET_STATUS = 0x4C82, 0x4C00, 0x4C04, 0x4C05  # linux/loop.h
_AUTOCLEAR = struct.pack("52xI176x", 4)  # a loop_info64 with this flag alone: it ends by itself
_TRIES = 20


@contextmanager
def device(file: int) -> Iterator[str]:
    """The device of an open file, which ends with the block, or when its last mount has.

    Raises OSError where the kernel has none to give.
    """
    disk, path = _attach(file)
    try:
        fcntl.ioctl(disk, _SET_STATUS, _AUTOCLEAR)
        yield path
    finally:
        os.close(disk)


def file_of(disk: int) -> str:
    """Which file an open loop device is: its file system and inode; "" if it is no loop device.

    Its path, which /sys has, can be any where somebody has a mount namespace of his own.
    """
    try:
        status = fcntl.ioctl(disk, _GET_STATUS, bytes(232))  # a loop_info64
    except OSError:
        return ""
    return "{}:{}".format(*struct.unpack_from("QQ", status))


def _attach(file: int) -> tuple[int, str]:
    """A free device that has the file now; another process may be quicker to take one."""
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_TRIES):
            path = f"/dev/loop{fcntl.ioctl(control, _GET_FREE)}"
            disk = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(disk, _SET_FD, file)
                return disk, path
            except OSError:
                os.close(disk)
        raise OSError(errno.EBUSY, "no loop device is free")
    finally:
        os.close(control)
