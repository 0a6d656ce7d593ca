"""Whole trees beside each other: made, copied at once where the file system can, discarded.

A system is prepared beside the present one and switched to by one rename; this makes the other one.
It never crosses a mount point.
"""

from __future__ import annotations

import fcntl
import os

from allie.core.errors import StateError
from allie.machine import clone, mounts, process, tree

_SUBVOL_GETFLAGS = 0x80089419  # linux/btrfs.h; only a subvolume answers
_FS_INFO = 0x8400941F  # linux/btrfs.h; any directory there answers


def is_subvolume(path: str) -> bool:
    """Whether a directory is a btrfs subvolume: it can be snapshotted."""
    return _answers(path, _SUBVOL_GETFLAGS, 8)


def make(path: str) -> None:
    """Make an empty tree: a subvolume on btrfs, so that a copy of it will cost nothing."""
    if _answers(os.path.dirname(path), _FS_INFO, 1024) and process.has_program("btrfs"):
        made = process.run(["btrfs", "subvolume", "create", path])
        if made.code == 0:
            os.chmod(path, 0o755)
            return
    os.mkdir(path, 0o755)


def copy(old: str, new: str) -> bool:
    """Copy a tree to a new path if that costs next to nothing; whether it did.

    A snapshot on btrfs, else shared blocks (xfs, btrfs). Else nothing is there: rsync will copy.
    """
    if is_subvolume(old) and process.has_program("btrfs"):
        return process.run(["btrfs", "subvolume", "snapshot", old, new]).code == 0
    if not _shares_blocks(old):
        return False
    done = process.run(["cp", "-a", "--one-file-system", "--reflink=always", "-T", old, new])
    return done.code == 0


def discard(path: str) -> None:
    """Remove a whole tree of ours. Raises StateError where something is mounted in it."""
    if not os.path.lexists(path):
        return
    mounted = mounts.at_or_below(os.path.realpath(path))
    if mounted:
        raise StateError(f"{mounted} is mounted in {path}, which is to go", f"umount {mounted}")
    is_tree = os.path.isdir(path) and not os.path.islink(path)
    if is_tree and is_subvolume(path) and process.has_program("btrfs"):
        process.run(["btrfs", "subvolume", "delete", path])
    tree.remove(path)  # all of it where that could not be, as with subvolumes in it


def _answers(directory: str, question: int, size: int) -> bool:
    """Whether a directory answers an ioctl(2) that is a question."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, question, b"\0" * size)
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _shares_blocks(directory: str) -> bool:
    """Whether two files there can share their blocks."""
    files: list[int] = []
    try:
        flags = os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC
        files += (os.open(directory, flags, 0o600) for _ in range(2))
        os.write(files[0], b"x" * 4096)
        return clone.shares_blocks(files[1], files[0])
    except OSError:
        return False
    finally:
        for descriptor in files:
            os.close(descriptor)
