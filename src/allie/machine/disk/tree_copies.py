"""Whole trees beside each other: made, begun with what another one has, discarded.

A system is prepared beside the present one and switched to by one rename; this makes the other one.
It never crosses a mount point. What goes may have been used by people, who own directories in it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys

from allie.core.errors import PROTECTED, StateError
from allie.machine.files import beneath, removing, tree
from allie.machine.files.removing import is_aside
from allie.machine.mounts import mount_table
from allie.machine.programs import process
from allie.machine.programs.process_groups import Bounds
from allie.machine.roots import within

_SUBVOL_GETFLAGS = 0x80089419  # linux/btrfs.h; only a subvolume answers
_RDONLY = 2  # linux/btrfs.h, BTRFS_SUBVOL_RDONLY: a flag in what it answers
_GAP = 2  # the inode number of a snapshot's empty directory where a subvolume was
_DEEP = 100  # levels; no subvolume lies deeper
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CP = ("cp", "-a", "--reflink=auto", "--one-file-system", "-T")
_FS_INFO = 0x8400941F  # linux/btrfs.h; any directory there answers


def _is_subvolume(path: str) -> bool:
    """Whether a directory is a btrfs subvolume: it can be snapshotted."""
    return _answer(path, _SUBVOL_GETFLAGS, 8) is not None


def is_snapshot(path: str) -> bool:
    """Whether a directory is a read-only subvolume of a btrfs."""
    if os.lstat(path).st_ino != removing.SUBVOLUME:  # as nearly always, and then it is not opened
        return False
    flags = _answer(path, _SUBVOL_GETFLAGS, 8, os.O_NOFOLLOW) or b""
    return bool(int.from_bytes(flags, sys.byteorder) & _RDONLY)


def begin(path: str) -> None:
    """Have a tree to fetch into: an earlier one, or a new one with all directories above it.

    An earlier one that overlayfs cannot rename is replaced: it could never take its place.
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
    is_btrfs = _answer(os.path.dirname(path), _FS_INFO, 1024) is not None
    if is_btrfs and process.run(["btrfs", "subvolume", "create", path]).code == 0:
        os.chmod(path, 0o755)
        return
    os.mkdir(path, 0o755)


def begin_with(old: str, new: str) -> bool:
    """Have a new tree to fetch into: a snapshot of an old one on btrfs, else an empty one.

    Returns whether it is empty: what is in the old one is then brought there by `fill`.
    docs/internals/rules.md, "An update begins with a copy".
    """
    if _snapshot(old, new):
        return False
    _empty(new)
    os.chmod(new, 0o700)  # what is users' own in it is out of their reach while it is copied
    return True


def fill(old: str, new: str) -> None:
    """Copy what is in an old tree into a new one, by as many `cp` as there are processors.

    They share blocks where files can (xfs, btrfs). What they leave out rsync will bring, so it does
    not matter what they say. Where there is no room for all, the new tree begins empty.
    """
    argv = ["xargs", "-0", "-n2", f"-P{os.cpu_count() or 1}", *_CP]
    done = process.run(argv, stdin=_from_to(old, new), bounds=Bounds(float("inf"), disk=new))
    if done.cut or done.full_disk:
        _empty(new)


def _empty(new: str) -> None:
    discard(new)
    begin(new)


def _snapshot(old: str, new: str) -> bool:
    """Snapshot a subvolume; False where that cannot be, and half of it may be there."""
    argv = ["btrfs", "subvolume", "snapshot", old, new]
    if not _is_subvolume(old) or process.run(argv).code != 0:
        return False
    try:
        with within.directory(new, "") as top:
            _fill_gaps(top)
        return True
    except OSError:  # somebody moves directories there at this moment
        return False


def _from_to(old: str, new: str) -> bytes:
    """Names for pairs of arguments: what is in a root, and in its /usr, where nearly all is.

    Nothing of another disk, and nothing through a link. The directory /usr is made.
    """
    names = {*tree.names(old), *(f"usr/{each}" for each in tree.names(f"{old}/usr"))} - {"usr"}
    device, found = os.lstat(old).st_dev, []
    for name in sorted(names, reverse=True):  # usr/share and usr/lib early: they take longest
        st = tree.status(f"{old}/{name}")
        if st and st.st_dev == device and tree.is_plain_way(old, name):
            os.makedirs(os.path.dirname(f"{new}/{name}"), 0o700, exist_ok=True)
            found += [f"{old}/{name}", f"{new}/{name}"]
    return b"".join(os.fsencode(path) + b"\0" for path in found)


def can_move(path: str) -> bool:
    """Whether a directory can be renamed: overlayfs moves none of its lower layer. It is not moved.

    It is asked by a rename onto a directory beside it that is not empty, which nothing can replace.
    Raises StateError where it is immutable.
    """
    above, name = os.path.split(path)
    full = f"{above}/.{name}.probe"
    os.makedirs(f"{full}/full", 0o700, exist_ok=True)
    try:
        os.rename(path, full)
    except PermissionError as error:
        raise StateError(f"cannot move {path}: {error.strerror}", PROTECTED) from error
    except OSError as error:
        return error.errno != errno.EXDEV
    finally:
        os.rmdir(f"{full}/full")
        os.rmdir(full)
    return True


def _fill_gaps(directory: int, depth: int = 0) -> None:
    """Have ordinary directories where subvolumes are in what was snapshotted.

    A snapshot has an empty directory there, in which nothing can be made. Users own directories on
    the way, so nothing is reached through a link.
    """
    with os.scandir(directory) as names:
        below = [each.name for each in names if each.is_dir(follow_symlinks=False)]
    for name in below:
        if os.stat(name, dir_fd=directory, follow_symlinks=False).st_ino == _GAP:
            os.rmdir(name, dir_fd=directory)
            os.mkdir(name, 0o755, dir_fd=directory)
        elif depth < _DEEP:
            found = beneath.open_beneath(directory, name, _OPEN)
            try:
                _fill_gaps(found, depth + 1)
            finally:
                os.close(found)


def need_no_mount(path: str) -> None:
    """Raise StateError where something is mounted in a tree that is to go."""
    mounted = mount_table.at_or_below(os.path.realpath(path))
    if mounted:
        raise StateError(f"{mounted} is mounted in {path}, which is to go", f"umount {mounted}")


def discard(path: str) -> None:
    """Remove a whole tree of ours; what of it cannot be removed is set aside and named.

    The path is free afterwards. Raises StateError where something is mounted in it.
    """
    if not os.path.lexists(path):
        return
    need_no_mount(path)
    is_directory = os.path.isdir(path) and not os.path.islink(path)
    if is_directory and _is_subvolume(path) and process.has_program("btrfs"):
        process.run(["btrfs", "subvolume", "delete", path])  # none with subvolumes in it
    stay = removing.remove(path, take=True) if os.path.lexists(path) else []
    try:
        if stay:
            removing.set_aside(path, stay)
    except OSError as error:
        hint = f"{stay[0].filename}: {stay[0].strerror}"
        raise StateError(f"cannot remove {path}: {error.strerror}", hint) from error


def aside_of(begins: str) -> list[str]:
    """What was set aside of trees, of those whose paths begin like this."""
    above, _, name = begins.rpartition("/")
    names = sorted(tree.names(above))
    return [f"{above}/{each}" for each in names if each.startswith(name) and is_aside(each)]


def discard_aside(begins: str) -> None:
    """Try again to remove it."""
    for path in aside_of(begins):
        discard(path)


def _answer(directory: str, question: int, size: int, more: int = 0) -> bytes | None:
    """What a directory answers to an ioctl(2) that is a question; None if it does not.

    more: flags to open it with.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | more)
    try:
        return fcntl.ioctl(descriptor, question, b"\0" * size)
    except OSError:
        return None
    finally:
        os.close(descriptor)
