"""Undo copies: keep in undo/ what a transaction replaces or removes.

Right before each rename or removal, so that an edit made since the plan is kept, too. On one disk
it is a hard link, or the thing itself; else a copy.

What lies in a user's directory can be another thing by the time that it is taken away, such as a
directory that holds a mount of root's. So what was taken is looked at once more where nobody else
can reach it, and goes back if it is not what was looked at before.
"""

from __future__ import annotations

import errno
import os
import stat
from _collections_abc import Iterable

from allie.core.change.intent import Step
from allie.core.errors import PathRefused, StateError, words_of
from allie.core.lean import suppress
from allie.machine.files import atomic, stood, tree
from allie.machine.files.free_space import Allowance
from allie.machine.mounts import mount_table
from allie.machine.roots import clone, paths
from allie.machine.roots.reach import Reach

NOTE = "bytes"  # beside `files`: how much was kept, counted when it was (`undo_ticks`)

At = tuple[int, str]  # an open directory, and a name in it


class Backup:
    """What one transaction keeps, by real path, below `place`. root: where the paths are."""

    def __init__(self, place: str, allowance: Allowance, root: str) -> None:
        self.files = f"{place}/files"
        self._place = place
        self._root = root
        self._allowance = allowance
        self._clones = clone.Clones()
        self._tainted: dict[str, bool] = {}
        self._kept = [0, 0, 0, 0]  # bytes and names of ours, and of others'

    def link(self, at: At, step: Step) -> None:
        """Keep a second name, else a copy, of what stands there, if anything does; it stays there.

        at: its open directory and its name there. Raises PathRefused where it is too large to keep,
        else OSError; then nothing is kept of it.
        """
        parent, name = at
        try:
            st = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return
        ours = self._is_ours(step, st)
        size = size_of(st, ours=ours)
        target = self._target(step.real)
        copied = False
        try:
            os.link(name, target, src_dir_fd=parent, follow_symlinks=False)
        except OSError:  # another disk; or it is immutable, or there are no links
            copied = True
        try:
            self._allowance.spend(size, copied, ours=ours)
            if copied:
                self._clones.make(f"{paths.through(parent)}/{name}", target, most=size)
        except (OSError, PathRefused):
            tree.remove(target)
            raise
        self._count(size_of(st, ours=False), 1, ours)

    def drop(self, real: str) -> None:
        """Forget what was kept of a path that was not replaced after all."""
        if tree.is_plain_way(self.files, real):
            tree.remove(f"{self.files}/{real}")

    def move(self, at: At, step: Step, away: At | None) -> None:
        """Move what stands there, a file or a whole tree; silent if nothing does.

        away: a directory of root's alone on its disk, and a free name there; None: it cannot be
        moved there, and is copied, and removed where it is. Raises PathRefused where it is too
        large to keep, holds a mount or has become another thing, else OSError; then it is where it
        was.
        """
        parent, name = at
        source = f"{paths.through(parent)}/{name}"
        st = tree.status(source)
        if st is None:
            return
        found = [st]
        if stat.S_ISDIR(st.st_mode):
            found += [each for _, each in tree.survey(source)]
        ours = self._is_ours(step, st) and only_roots(found)
        sizes = [size_of(each, ours=ours) for each in found]
        target = self._target(step.real)
        copied = os.stat(self.files).st_dev != os.fstat(parent).st_dev
        self._allowance.spend(sum(sizes), copied, ours=ours, names=len(sizes))
        try:
            os.rename(name, target, src_dir_fd=parent)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            if not copied:  # one file system, but not for renames (a quota of a project)
                self._allowance.spend(sum(sizes), True, ours=ours, names=len(sizes))
            if not (away or ours):
                words = "its file system moves it nowhere, and others could change it meanwhile"
                raise PathRefused(words) from error
            self._copy_and_remove(at, target, away, st, sum(sizes))
        else:
            _send_back_another(target, at, st)
        self._count(sum(size_of(each, ours=False) for each in found), len(found), ours)

    def note(self) -> None:
        """Write down how much was kept: what others have a second name for can grow in undo."""
        note_counts(self._place, self._kept)

    def _copy_and_remove(
        self, at: At, target: str, away: At | None, st: os.stat_result, size: int
    ) -> None:
        """Copy to another disk, and only then take it away: a kill in between loses nothing."""
        parent, name = at
        place, last = away or at
        aside = f"{paths.through(place)}/{last}"
        try:
            self._clones.whole(f"{paths.through(parent)}/{name}", target, most=size)
            if away:
                os.rename(name, aside, src_dir_fd=parent)
                _send_back_another(aside, at, st)
        except (OSError, PathRefused):
            tree.remove(target)  # half of a tree must not be taken for all of it
            raise
        try:
            tree.remove(aside)
        except OSError as error:  # something was mounted, or moved, into it at this moment
            there = tree.move_back(aside, parent, name) if away else name
            words = f"{error.strerror}; what is left of it is {there} again, a copy is {target}"
            raise PathRefused(words) from error

    def _count(self, size: int, names: int, ours: bool) -> None:
        first = 0 if ours else 2
        self._kept[first] += size
        self._kept[first + 1] += names

    def _is_ours(self, step: Step, st: os.stat_result) -> bool:
        """Whether it is as ALLiE placed it (as far as the plan saw), or only root could make it."""
        if step.old is not None and step.before == (step.old.content, step.old.attrs):
            return True
        return st.st_uid == 0 and not self._is_tainted(step.real.rpartition("/")[0])

    def _is_tainted(self, above: str) -> bool:
        """Whether others can change the names in a directory; what cannot be told counts as yes.

        By a Reach of its own: the caller's would let go of the directory that it holds open.
        """
        known = self._tainted.get(above)
        if known is None:
            known = True
            with suppress(OSError, PathRefused), Reach(self._root) as reach:
                known = reach.is_tainted(above)
            self._tainted[above] = known
        return known

    def make_directory(self, real: str) -> str:
        """Make the directory in undo/ for a real path, with all above it: its path.

        Not by os.makedirs, which calls itself at each level, and follows links. Raises PathRefused
        where a link, or another thing that was replaced by a directory, is kept on the way.
        """
        made = self.files
        for name in real.split("/") if real else ():
            made = f"{made}/{name}"
            st = tree.status(made)
            if st is None:
                os.mkdir(made, 0o700)
            elif not stat.S_ISDIR(st.st_mode):
                raise PathRefused("it came there only after what is above it had been replaced")
        return made

    def _target(self, real: str) -> str:
        """Where a path is kept: nothing is there yet."""
        above, _, name = real.rpartition("/")
        target = f"{self.make_directory(above)}/{name}"
        tree.remove(target)  # of a try before
        return target


def note_counts(place: str, counts: Iterable[int]) -> None:
    """Note bytes and names of ours, and of others', that a transaction keeps."""
    with suppress(StateError):  # then it is counted as it is found
        atomic.write(f"{place}/{NOTE}", " ".join(map(str, counts)), 0o600, durable=False)


def only_roots(found: list[os.stat_result]) -> bool:
    """Whether nobody but root could make what is in a tree. A file alone may be a user's."""
    return len(found) == 1 or not any(
        stood.taints(st) if stat.S_ISDIR(st.st_mode) else st.st_uid for st in found
    )


def _send_back_another(moved: str, at: At, st: os.stat_result) -> None:
    """What has come where only root can reach it goes back if it is not what was looked at.

    st: what was looked at. Raises PathRefused, OSError.
    """
    try:
        now = os.lstat(moved)
        if not _is_same(now, st):
            raise PathRefused("something else has just come in its place")
        if stat.S_ISDIR(now.st_mode):
            for _ in tree.survey(moved):
                pass
            mounted = mount_table.at_or_below(os.path.realpath(moved))
            if mounted:
                raise PathRefused(f"{mounted} is a mount point")
    except (OSError, PathRefused) as error:
        parent, name = at
        there = tree.move_back(moved, parent, name)
        if there != name:
            raise PathRefused(f"{words_of(error)}; it is {there} there now") from error
        raise


def _is_same(now: os.stat_result, st: os.stat_result) -> bool:
    """Whether a thing is the one that was looked at.

    overlayfs gives a file another number when it is moved; then size and time tell.
    """
    if (now.st_dev, now.st_ino) == (st.st_dev, st.st_ino):
        return stat.S_IFMT(now.st_mode) == stat.S_IFMT(st.st_mode)
    known = st.st_mode, st.st_uid, st.st_size, st.st_mtime_ns
    same = known == (now.st_mode, now.st_uid, now.st_size, now.st_mtime_ns)
    return same and not stat.S_ISDIR(st.st_mode)


def size_of(st: os.stat_result, *, ours: bool) -> int:
    """The bytes that a file counts for; of others' files holes count, too: a copy reads them."""
    return st.st_blocks * 512 if ours else max(st.st_size, st.st_blocks * 512)
