"""Reach what stands at the real paths of a root, by open directories and through no link.

A real path was resolved a moment ago (`machine.roots.paths`). Since then a user may have put a
link, or a mount of his own, in the place of a directory on the way. So nothing below a root is used
by its path: its directory is opened through no link and on a mount that was known, and is kept
open.

For one part of a tick, which sees to many paths of few directories.
"""

from __future__ import annotations

import errno
import os
import stat
from _collections_abc import Collection

from allie.core.change.ledger import NOTHING
from allie.core.errors import PathRefused
from allie.core.lean import suppress
from allie.machine.files import stood, tree
from allie.machine.mounts import user_mounts
from allie.machine.mounts.user_mounts import Mounts
from allie.machine.roots import paths

_MOST_OPEN = 64  # directories; some services may have no more than 256 files open
MOST_READ = 64 << 20  # bytes of a file that may be a user's, where nobody knows its size
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_WORDS = {
    errno.ELOOP: "a directory above it became a symlink",
    errno.EXDEV: "something was just mounted above it",
}

Disk = tuple[str, int]  # the number of the mount, st_dev: within it a rename is possible


def disk_of(descriptor: int) -> Disk:
    """The disk that something open is on."""
    return user_mounts.mount_of(descriptor), os.fstat(descriptor).st_dev


class Reach:
    """The way to the paths of one root. Close it, or use it as a context."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._open: dict[str, int] = {}
        self._disks: dict[str, Disk] = {}  # of those that are open
        self._mounts: Mounts | None = None
        self._tainted: dict[str, bool] = {"": False}

    def __enter__(self) -> Reach:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of all directories: what is asked next is found by its name anew."""
        while self._open:
            os.close(self._open.popitem()[1])
        self._disks.clear()
        self._tainted = {"": False}

    def directory(self, real: str) -> int:
        """A descriptor (O_PATH) of a directory, for use at once: it is closed again some time.

        Raises PathRefused where the way to it has changed, else OSError.
        """
        known = self._open.get(real)
        if known is not None:
            return known
        found = self._find(real)
        if len(self._open) >= _MOST_OPEN:
            self.close()
        self._open[real] = found
        return found

    def disk(self, real: str) -> Disk:
        """The disk that a directory is on. Raises as `directory` does."""
        descriptor = self.directory(real)
        if real not in self._disks:
            self._disks[real] = disk_of(descriptor)
        return self._disks[real]

    def parent(self, real: str) -> tuple[int, str]:
        """The directory that a path is in, and its name there."""
        above, _, name = real.rpartition("/")
        return self.directory(above), name

    def path(self, real: str) -> str:
        """A path by which the system reaches it through its open directory; for use at once."""
        descriptor, name = self.parent(real)
        return f"{paths.through(descriptor)}/{name}"

    def status(self, real: str) -> os.stat_result | None:
        """lstat, or None where nothing stands."""
        try:
            descriptor, name = self.parent(real)
            return os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def describe(self, real: str, sizes: Collection[int] = ()) -> tuple[str, str]:
        """(content digest, attributes digest) of what stands there; NOTHING if nothing does.

        sizes: of the files that may stand there, if they are known. A file of any other size is
        none of them, and is not read (`tree.of_size`): a user could make it one that is read for
        days. Where no size is known, it is read unless it is large and may be a user's.
        """
        try:
            st = self.status(real)
            if st is None:
                return NOTHING, ""
            unread = self._is_unread(real, st, sizes)
            path = self.path(real)
            if unread:
                return tree.of_size(st.st_size), tree.attributes_digest(path, st)
            return tree.digests(path, st)
        except FileNotFoundError:
            return NOTHING, ""

    def is_state(self, real: str, state: tuple[str, str], sizes: Collection[int] = ()) -> bool:
        """Whether a path is in a state noted before, which may know the size of its file alone.

        sizes: as for `describe`.
        """
        try:
            st = self.status(real)
            if st and stat.S_ISREG(st.st_mode) and state[0] == tree.of_size(st.st_size):
                return tree.attributes_digest(self.path(real), st) == state[1]
        except FileNotFoundError:
            return state[0] == NOTHING
        return self.describe(real, sizes) == state

    def is_tainted(self, real: str) -> bool:
        """Whether others than root can change the names in a directory, or in one above it."""
        unknown = []
        while real not in self._tainted:  # "" always is
            unknown.append(real)
            real = real.rpartition("/")[0]
        tainted = self._tainted[real]
        for below in reversed(unknown):
            tainted = tainted or stood.taints(os.fstat(self.directory(below)))
            self._tainted[below] = tainted
        return tainted

    def is_below_taint(self, real: str) -> bool:
        """Whether others than root can change the names in the directory that a path is in."""
        return self.is_tainted(real.rpartition("/")[0])

    def _is_unread(self, real: str, st: os.stat_result, sizes: Collection[int]) -> bool:
        """Whether a file is known by its size alone."""
        if not stat.S_ISREG(st.st_mode):
            return False
        if sizes:
            return st.st_size not in sizes
        large = st.st_size > MOST_READ
        return large and (st.st_uid != 0 or self.is_below_taint(real))

    def _find(self, real: str) -> int:
        if not real:
            return os.open(self.root, _DIRECTORY)
        try:
            try:
                return self._enter(real)
            except OSError as error:
                # An automounter has mounted it, or root, since the table of mounts was read
                if error.errno != errno.EXDEV or not self._reads_mounts_anew():
                    raise
                return self._enter(real)
        except NotADirectoryError as error:  # something else is there, so nothing is below it
            words = "a directory above it is none any more"
            raise FileNotFoundError(errno.ENOENT, words, real) from error
        except OSError as error:
            if error.errno in _WORDS:
                raise PathRefused(f"/{real}: {_WORDS[error.errno]}") from error
            raise

    def _enter(self, real: str) -> int:
        """The directory, if it and all above it lie on mounts that are known."""
        from allie.machine.files import beneath  # noqa: PLC0415 - see HACKING.md, start-up

        if self._mounts is None:
            self._mounts = user_mounts.below(self.root)
        if real in self._mounts.closed:
            raise PathRefused(f"/{real}: {self._mounts.closed[real]}")
        if real in self._mounts.known:
            return self._mounted(real, self._mounts.known[real])
        mount = self._mount_above(real)
        rest = real[len(mount) :].lstrip("/")
        return beneath.open_beneath(self.directory(mount), rest, _DIRECTORY)

    def _reads_mounts_anew(self) -> bool:
        """Whether the table of mounts is another one by now; then that one counts."""
        before, self._mounts = self._mounts, user_mounts.below(self.root)
        if before and before.known == self._mounts.known:
            return False
        self.close()
        return True

    def _mount_above(self, real: str) -> str:
        """The nearest known mount point above a path; "" is the root itself."""
        assert self._mounts is not None
        above = real
        while above:
            above = above.rpartition("/")[0]
            if above in self._mounts.known:
                return above
        return ""

    def _mounted(self, real: str, number: str) -> int:
        """The directory on top of a known mount point."""
        above, name = self.parent(real)
        found = os.open(name, _DIRECTORY, dir_fd=above)
        with suppress(OSError):
            if user_mounts.mount_of(found) == number:
                return found
        os.close(found)
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), real)
