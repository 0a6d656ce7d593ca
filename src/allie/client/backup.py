"""Backup: keep in undo/ what a transaction replaces or removes.

It comes right before each rename or removal, so that an edit made since the plan is kept, too.
On one disk it is a hard link, else a copy.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from allie.core.intent import Step
from allie.machine import clone, paths, tree
from allie.machine.room import Allowance


class Backup:
    """What one transaction keeps, by real path, below `place`."""

    def __init__(self, place: str, allowance: Allowance) -> None:
        self.files = f"{place}/files"
        self._allowance = allowance
        self._clones = clone.Clones()

    def keep(self, at: tuple[int, str], step: Step) -> None:
        """Have what stands there, if anything does, and leave it where it is.

        at: its open directory and its name there. Raises PathRefused where it is too large to keep.
        """
        parent, name = at
        try:
            st = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return
        ours = _is_ours(step)
        size = _size(st, ours=ours)
        target = self._target(step.real)
        with suppress(OSError):  # another disk; or it is immutable, or there are no links
            os.link(name, target, src_dir_fd=parent, follow_symlinks=False)
            self._allow(step, size, False, ours)
            return
        self._allowance.spend(size, True, ours=ours)
        self._clones.make(f"{paths.through(parent)}/{name}", target, most=size)

    def drop(self, real: str) -> None:
        """Forget what was kept of a path that was not replaced after all."""
        tree.remove(f"{self.files}/{real}")

    def take(self, at: tuple[int, str], step: Step, away: tuple[int, str]) -> None:
        """Move what stands there, a file or a whole tree.

        away: a directory of root's alone on its disk, and a free name there. Raises PathRefused
        where it is too large to keep.
        """
        parent, name = at
        target = self._target(step.real)
        source = f"{paths.through(parent)}/{name}"
        ours = _is_ours(step)
        st = os.lstat(source)
        sizes = [_size(st, ours=ours)]
        if stat.S_ISDIR(st.st_mode):
            sizes += [_size(each, ours=ours) for _, each in tree.survey(source)]
        same_disk = os.stat(self.files).st_dev == os.fstat(parent).st_dev
        self._allowance.spend(sum(sizes), not same_disk, ours=ours)
        try:
            os.rename(name, target, src_dir_fd=parent)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            self._clones.whole(source, target)
            directory, aside = away  # half of a tree must not be taken for all of it
            os.rename(name, aside, src_dir_fd=parent, dst_dir_fd=directory)
            tree.remove(f"{paths.through(directory)}/{aside}")

    def _allow(self, step: Step, size: int, copied: bool, ours: bool) -> None:
        try:
            self._allowance.spend(size, copied, ours=ours)
        except Exception:
            self.drop(step.real)
            raise

    def _target(self, real: str) -> str:
        target = f"{self.files}/{real}"
        os.makedirs(os.path.dirname(target), 0o700, exist_ok=True)
        tree.remove(target)  # of a try before
        return target


def _is_ours(step: Step) -> bool:
    """Whether what is replaced is as ALLiE placed it, as far as the plan saw."""
    return step.old is not None and step.before == (step.old.content, step.old.attrs)


def _size(st: os.stat_result, *, ours: bool) -> int:
    """The bytes that it counts for: what is not ours, its holes, too, since they are read again."""
    return st.st_blocks * 512 if ours else max(st.st_size, st.st_blocks * 512)
