"""Room on a disk: asked before a change is begun (RULES A10)."""

from __future__ import annotations

import os

from allie.core.errors import StateError

_SPARE = 1 << 20  # bytes that stay free on each disk
_SPARE_FILES = 32  # and inodes


def free(where: str) -> int:
    """The bytes that the disk of a directory has left."""
    return _bytes(os.statvfs(where))


def need(where: str, size: int, files: int) -> None:
    """Raise StateError unless the disk of a directory takes so many bytes in so many files."""
    disk = os.statvfs(where)
    left = _bytes(disk)
    if left < size + _SPARE:
        raise StateError(
            f"the disk under {where} has {left >> 10} KiB free, and {size >> 10} KiB would be"
            " written: nothing was begun",
            "make room",
        )
    if disk.f_files and disk.f_favail < files + _SPARE_FILES:  # some file systems do not count
        raise StateError(
            f"the disk under {where} takes {disk.f_favail} more files, and {files} would be"
            " written: nothing was begun",
            "make room: it is out of inodes",
        )


def _bytes(disk: os.statvfs_result) -> int:
    return disk.f_bavail * disk.f_frsize
