"""Backup: keep in undo/ what a transaction replaces or removes.

It comes right before each rename or removal, so that an edit made since the plan is kept, too.
On one disk it is a hard link, else a copy.
"""

from __future__ import annotations

import errno
import os

from allie.machine import clone, paths, tree


class Backup:
    """What one transaction keeps, by real path, below `place`."""

    def __init__(self, place: str) -> None:
        self.files = f"{place}/files"
        self._clones = clone.Clones()

    def keep(self, at: tuple[int, str], real: str) -> None:
        """Have what stands there, if anything does, and leave it where it is.

        at: its open directory and its name there.
        """
        parent, name = at
        source = f"{paths.through(parent)}/{name}"
        if not os.path.lexists(source):
            return
        target = self._target(real)
        try:
            os.link(name, target, src_dir_fd=parent, follow_symlinks=False)
        except OSError:  # another disk; or it is immutable, or its file system has no links
            self._clones.make(source, target)

    def drop(self, real: str) -> None:
        """Forget what was kept of a path that was not replaced after all."""
        tree.remove(f"{self.files}/{real}")

    def take(self, at: tuple[int, str], real: str) -> None:
        """Move what stands there, a file or a whole tree."""
        parent, name = at
        target = self._target(real)
        try:
            os.rename(name, target, src_dir_fd=parent)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            self._clones.whole(f"{paths.through(parent)}/{name}", target)
            away = paths.beside(name)  # half of a tree must not be taken for all of it
            os.rename(name, away, src_dir_fd=parent, dst_dir_fd=parent)
            tree.remove(f"{paths.through(parent)}/{away}")

    def size(self, path: str) -> int:
        """The bytes that a copy of what stands at a path would take; 0 where a link will do."""
        st = tree.status(path)
        if st is None or st.st_dev == os.stat(self.files).st_dev:
            return 0
        below = tree.listing(path) if tree.is_directory(st) else ()
        sizes = [os.lstat(f"{path}/{name}").st_size for name, _ in below]
        return st.st_size + sum(sizes) + 4096 * (1 + len(sizes))

    def _target(self, real: str) -> str:
        target = f"{self.files}/{real}"
        os.makedirs(os.path.dirname(target), 0o700, exist_ok=True)
        tree.remove(target)  # of a try before
        return target
