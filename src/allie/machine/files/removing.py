"""Remove whole trees of ours, as far as possible: what cannot be removed stays, and is named.

Root's own rights do not reach everything: a file may be immutable or append-only (chattr(1)), since
an administrator protected it from programs like this one, or a disk may refuse. Such a file must
not keep a system from its next update, or an image from its next version. So the rest of the tree
goes, and the tree takes a name beside, under which nothing looks for it.
"""

from __future__ import annotations

import errno
import fcntl
import os

from allie.core.lean import suppress
from allie.machine import console
from allie.machine.files import beneath

_ASIDE = ".stuck-"
_DEEP = 50  # levels: as many directories are open
_MOST_PASSES = 10_000  # a user may go on putting things into what is not root's alone
_MOST, _MOST_NAMED = 1000, 3  # things that stay: that are counted, that are named
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
SUBVOLUME = 256  # the inode number of every btrfs subvolume, at its top
_SUBVOL_SETFLAGS = 0x4008941A  # linux/btrfs.h
_WORDS = {
    errno.EPERM: "it is immutable or append-only, or in such a directory: chattr -i -a",
    errno.EXDEV: "it is a mount point",
    errno.EBUSY: "it is a mount point",
}


def is_aside(path: str) -> bool:
    """Whether a name is that of what stays of a tree."""
    return path.rpartition(_ASIDE)[2].isdigit()


def remove(path: str, *, take: bool) -> list[OSError]:
    """Remove a tree, however deep it is; an error for each thing in it that stays.

    Nothing is removed through a link, nor what is on another mount. take: each directory becomes
    root's alone before it is emptied, so nobody adds anything; what stays is then root's, too.
    """
    work = _Removal(take)
    work.whole(path)
    return work.stay


def set_aside(path: str, stay: list[OSError]) -> None:
    """Give what stays of a tree a name of its own beside it, and say so."""
    aside = path
    if not is_aside(path):
        number = 1
        while os.path.lexists(f"{path}{_ASIDE}{number}"):
            number += 1
        aside = f"{path}{_ASIDE}{number}"
        os.rename(path, aside)
    named = "; ".join(
        f"{aside}{each.filename[len(path) :]}: {each.strerror}" for each in stay[:_MOST_NAMED]
    )
    more = f"; and {len(stay) - _MOST_NAMED} more" if len(stay) > _MOST_NAMED else ""
    console.warn(f"cannot be removed, and left there: {named}{more}")


class _Removal:
    """The removal of one tree."""

    def __init__(self, take: bool) -> None:
        self.stay: list[OSError] = []
        self._take = take
        self._moved = False  # whether something too deep was moved to the top, to go from there

    def whole(self, path: str) -> None:
        """Remove the tree at a path, or the file."""
        try:
            if os.path.islink(path) or not os.path.isdir(path):
                os.unlink(path)
                return
            top = self._opened(path)
        except OSError as error:
            self._stays(path, error)
            return
        try:
            for _ in range(_MOST_PASSES):
                self.stay, self._moved = [], False
                if not self._empty(top, path, top, 0) or (self.stay and not self._moved):
                    break
        finally:
            os.close(top)
        if not self.stay:
            try:
                os.rmdir(path)
            except OSError as error:
                self._stays(path, error)

    def _empty(self, directory: int, path: str, top: int, depth: int) -> bool:
        """Remove what is in a directory; whether anything was."""
        with os.scandir(directory) as names:
            found = [(each.name, each.is_dir(follow_symlinks=False)) for each in names]
        for name, is_dir in found:
            try:
                if not is_dir:
                    os.unlink(name, dir_fd=directory)
                elif depth >= _DEEP and _to_top(name, directory, top):
                    self._moved = True
                else:
                    self._directory(name, directory, f"{path}/{name}", top, depth)
            except FileNotFoundError:
                continue
            except OSError as error:
                self._stays(f"{path}/{name}", error)
        return bool(found)

    def _directory(self, name: str, above: int, path: str, top: int, depth: int) -> None:
        """Remove a directory in another one, and all that is in it."""
        before = len(self.stay)
        below = self._opened(name, above)
        try:
            if depth < _DEEP:
                self._empty(below, path, top, depth + 1)
            else:  # a subvolume, out of which nothing can be moved
                self._empty(below, path, below, 0)
        finally:
            os.close(below)
        if len(self.stay) == before or len(self.stay) >= _MOST:
            os.rmdir(name, dir_fd=above)

    def _stays(self, path: str, error: OSError) -> None:
        why = _WORDS.get(error.errno or 0) or error.strerror
        if not self.stay or (len(self.stay) < _MOST and error.errno != errno.ENOTEMPTY):
            self.stay.append(OSError(error.errno, why, path))

    def _opened(self, path: str, above: int | None = None) -> int:
        """A directory kept open, which becomes root's alone where it is to be taken."""
        if above is None:
            descriptor = os.open(path, _OPEN)
        else:
            descriptor = beneath.open_beneath(above, path, _OPEN)
        if self._take and os.geteuid() == 0:
            with suppress(OSError):  # immutable itself, say: then nobody adds anything to it
                if os.fstat(descriptor).st_ino == SUBVOLUME:
                    _make_writable(descriptor)
                os.fchown(descriptor, 0, 0)
                os.fchmod(descriptor, 0o700)
        return descriptor


def _make_writable(subvolume: int) -> None:
    """A snapshot may be read-only; on other file systems no directory has such a thing."""
    with suppress(OSError):
        fcntl.ioctl(subvolume, _SUBVOL_SETFLAGS, b"\0" * 8)


def _to_top(name: str, above: int, top: int) -> bool:
    """Move what lies too deep to the top of its tree; whether it could be."""
    try:
        os.rename(name, f".deep-{os.urandom(8).hex()}", src_dir_fd=above, dst_dir_fd=top)
    except OSError:
        return False
    return True
