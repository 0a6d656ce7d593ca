"""Whole trees beside each other: made, copied at once where the file system can, discarded.

A system is prepared beside the present one and switched to by one rename; this makes the other one.
It never crosses a mount point. What goes may have been used by people, who own directories in it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from allie.core.errors import StateError
from allie.machine import clone, mounts, process

_SUBVOL_GETFLAGS = 0x80089419  # linux/btrfs.h; only a subvolume answers
_FS_INFO = 0x8400941F  # linux/btrfs.h; any directory there answers


def is_subvolume(path: str) -> bool:
    """Whether a directory is a btrfs subvolume: it can be snapshotted."""
    return _answers(path, _SUBVOL_GETFLAGS, 8)


def begin(path: str) -> None:
    """Have a tree to fetch into: an earlier one, or a new one with all directories above it.

    Not one that overlayfs could never move to where it is to be seen.
    """
    if os.path.isdir(path) and can_move(path):
        return
    discard(path)
    try:
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        make(path)
    except OSError as error:
        raise StateError(f"cannot make {path}: {error.strerror}") from error


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


def can_move(path: str) -> bool:
    """Whether a directory can be renamed: overlayfs moves none of its lower layer. It is not moved.

    It is asked by a rename onto a directory beside it that is not empty, which nothing can replace.
    """
    above, name = os.path.split(path)
    full = f"{above}/.{name}.probe"
    os.makedirs(f"{full}/full", 0o700, exist_ok=True)
    try:
        os.rename(path, full)
    except OSError as error:
        return error.errno != errno.EXDEV
    finally:
        os.rmdir(f"{full}/full")
        os.rmdir(full)
    return True


def discard(path: str) -> None:
    """Remove a whole tree of ours. Raises StateError where something is mounted in it."""
    if not os.path.lexists(path):
        return
    mounted = mounts.at_or_below(os.path.realpath(path))
    if mounted:
        raise StateError(f"{mounted} is mounted in {path}, which is to go", f"umount {mounted}")
    if os.path.islink(path) or not os.path.isdir(path):
        os.unlink(path)
        return
    if is_subvolume(path) and process.has_program("btrfs"):
        process.run(["btrfs", "subvolume", "delete", path])
    if not os.path.lexists(path):  # else it has subvolumes in it
        return
    try:
        _take_down(path)
    except OSError as error:
        raise StateError(f"cannot remove {path}: {error.strerror}: {error.filename}") from error


def _take_down(path: str) -> None:
    """Remove a tree, however deep it is, whatever its people do meanwhile.

    Each directory becomes root's alone before it is emptied; what is in it is emptied at the top of
    the tree. So nobody adds anything, and no more than two directories are open.
    """
    top = _taken(path)
    number, mark = 0, os.urandom(8).hex()
    try:
        while names := os.listdir(top):
            for name in names:
                if not _is_directory(name, top):
                    os.unlink(name, dir_fd=top)
                    continue
                below = _taken(name, top)
                try:
                    for each in os.listdir(below):
                        if not _is_directory(each, below):
                            os.unlink(each, dir_fd=below)
                            continue
                        number += 1
                        _to_top(each, below, top, f".{mark}.{number}")
                finally:
                    os.close(below)
                os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(path)


def _taken(path: str, above: int | None = None) -> int:
    """A directory held open, which is root's alone from now on."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, dir_fd=above)
    if os.geteuid() == 0:
        os.fchown(descriptor, 0, 0)
        os.fchmod(descriptor, 0o700)
    return descriptor


def _is_directory(name: str, above: int) -> bool:
    return stat.S_ISDIR(os.lstat(name, dir_fd=above).st_mode)


def _to_top(name: str, above: int, top: int, free: str) -> None:
    try:
        os.rename(name, free, src_dir_fd=above, dst_dir_fd=top)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _take_down(f"/proc/self/fd/{above}/{name}")  # a subvolume of its own


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
