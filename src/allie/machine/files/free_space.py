"""Room on a disk: asked before a change is begun.

What is reserved for root (5 % of an ext4) counts as free: we are root, and users fill a disk only
as far as that. A file system that does not count blocks (ramfs) or inodes (btrfs) has no end.
"""

from __future__ import annotations

import os

from allie.core.errors import NoRoom, PathRefused
from allie.core.value import Value

_SPARE = 1 << 20  # bytes that stay free on each disk
_SPARE_FILES = 32  # and inodes
OF_OTHERS = 200 << 20  # bytes that one transaction keeps of what others than root could make
_NAMES_OF_OTHERS = 20_000  # and names
_SMALL, _FEW = 1 << 16, 100  # bytes, names: no more than that is kept while there is room at all
_NO_END = 1 << 63


class Room(Value):
    """What a disk has left, and has at all."""

    free: int  # bytes; f_bfree of statvfs(3)
    free_to_users: int  # bytes; f_bavail
    free_names: int  # inodes
    size: int
    names: int


def room(where: str) -> Room:
    """The room on the disk of a directory."""
    disk = os.statvfs(where)
    counted = (disk.f_bfree, disk.f_bavail) if disk.f_blocks else (_NO_END, _NO_END)
    free, to_users = (blocks * disk.f_frsize for blocks in counted)
    free_names = disk.f_ffree if disk.f_files else _NO_END
    return Room(free, to_users, free_names, disk.f_blocks * disk.f_frsize, disk.f_files)


def free(where: str) -> int:
    """The bytes that the disk of a directory has left for root."""
    return room(where).free


def lack(where: str, size: int, files: int, called: str = "") -> str:
    """Why the disk of a directory does not take so many bytes in so many files; "" if it does.

    called: the directory's name, where `where` is only a way to it.
    """
    disk = room(where)
    if disk.free < size + _SPARE:
        return (
            f"the disk under {called or where} has {disk.free >> 10} KiB free,"
            f" and {size >> 10} KiB would be written"
        )
    if disk.free_names < files + _SPARE_FILES:
        return (
            f"the disk under {called or where} is out of inodes:"
            f" it takes {disk.free_names} more files, and {files} would be written"
        )
    return ""


def need(where: str, size: int, files: int) -> None:
    """Raise NoRoom unless the disk of a directory takes so many bytes in so many files."""
    words = lack(where, size, files)
    if words:
        raise NoRoom(f"{words}: nothing was begun", "make room")


class Allowance:
    """What one transaction may keep, on the disk of the state, of what it replaces.

    It never takes the last tenth of the disk, or of its inodes, for what others made large: a user
    could fill the system's disk with what he put in a placed file's stead.
    """

    def __init__(self, where: str) -> None:
        disk = room(where)
        self._free, self._free_names = disk.free - _SPARE, disk.free_names - _SPARE_FILES
        self._tenth, self._tenth_of_names = disk.size // 10, disk.names // 10
        self._of_others, self._names_of_others = OF_OTHERS, _NAMES_OF_OTHERS

    def spend(self, size: int, copied: bool, *, ours: bool, names: int = 1) -> None:
        """Count what is kept: its bytes and names, and whether a copy takes them anew.

        ours: it is as ALLiE placed it, or nobody but root could make it. Raises PathRefused.
        """
        takes, files = (size, names) if copied else (0, 0)  # a link or a move takes nothing
        reserve = 0 if ours or size <= _SMALL else self._tenth
        reserved_names = 0 if ours or names <= _FEW else self._tenth_of_names
        fits = not takes or takes <= self._free - reserve
        fits = fits and (not files or files <= self._free_names - reserved_names)
        if not fits or not (ours or (size <= self._of_others and names <= self._names_of_others)):
            raise PathRefused(
                f"what stands there takes {size >> 10} KiB in {names} names, more than is kept of"
                " it so that it can come back: move it away"
            )
        self._free -= takes
        self._free_names -= files
        self._of_others -= 0 if ours else size
        self._names_of_others -= 0 if ours else names
