"""Room on a disk: asked before a change is begun.

Root may use what is reserved for root (f_bfree): users fill a disk only as far as that.
"""

from __future__ import annotations

import os

from allie.core.errors import PathRefused, StateError

_SPARE = 1 << 20  # bytes that stay free on each disk
_SPARE_FILES = 32  # and inodes
_OF_OTHERS = 200 << 20  # bytes that one transaction keeps of what is not ALLiE's own
_SMALL = 1 << 16  # bytes: what is no larger is kept as long as there is room at all


def free(where: str) -> int:
    """The bytes that the disk of a directory has left for root."""
    disk = os.statvfs(where)
    return disk.f_bfree * disk.f_frsize


def lack(where: str, size: int, files: int, called: str = "") -> str:
    """Why the disk of a directory does not take so many bytes in so many files; "" if it does.

    called: the directory's name, where `where` is only a way to it.
    """
    disk = os.statvfs(where)
    if not disk.f_blocks:  # ramfs and the like, which are as large as memory is
        return ""
    left = disk.f_bfree * disk.f_frsize
    if left < size + _SPARE:
        return (
            f"the disk under {called or where} has {left >> 10} KiB free,"
            f" and {size >> 10} KiB would be written"
        )
    if disk.f_files and disk.f_ffree < files + _SPARE_FILES:  # some file systems do not count
        return (
            f"the disk under {called or where} is out of inodes:"
            f" it takes {disk.f_ffree} more files, and {files} would be written"
        )
    return ""


def need(where: str, size: int, files: int) -> None:
    """Raise StateError unless the disk of a directory takes so many bytes in so many files."""
    words = lack(where, size, files)
    if words:
        raise StateError(f"{words}: nothing was begun", "make room")


class Allowance:
    """What one transaction may keep, on the disk of the state, of what it replaces.

    It never takes the last tenth of the disk for what others made large: a user could fill the
    system's disk with what he put in a placed file's stead.
    """

    def __init__(self, where: str) -> None:
        disk = os.statvfs(where)
        self._free = disk.f_bfree * disk.f_frsize - _SPARE if disk.f_blocks else 1 << 63
        self._tenth = disk.f_blocks * disk.f_frsize // 10
        self._of_others = _OF_OTHERS

    def spend(self, size: int, copied: bool, *, ours: bool) -> None:
        """Count what is kept: bytes that it takes, and whether a copy takes them anew.

        ours: it is as ALLiE placed it, or nobody but root could make it. Raises PathRefused.
        """
        takes = size if copied else 0
        reserve = 0 if ours or size <= _SMALL else self._tenth
        if takes > self._free - reserve or not (ours or size <= self._of_others):
            raise PathRefused(
                f"what stands there takes {size >> 10} KiB, more than is kept of it"
                " so that it can come back: move it away"
            )
        self._free -= takes
        self._of_others -= 0 if ours else size
