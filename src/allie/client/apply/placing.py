"""Placing: put what a transaction brings into the root.

    directories → each file on its stage → on disk → what stands there to undo → rename

Up to the first rename no file of the root has changed, and what is renamed is on disk, so that a
file is the old one or the new one after a power cut, too. What comes has its owner and mode before
it is where others could swap it (`machine.roots.stage`). Nothing leads out of the root: each
directory is reached through no link (`machine.roots.reach`). Why this is not left to rsync, which
fetches all of it: docs/explanation/power-off.md.

docs/internals/rules.md, "What was seen is put right".
"""

from __future__ import annotations

import errno
import os
from _collections_abc import Callable

from allie.client.originals.undo_copies import Backup
from allie.core.change.intent import Step
from allie.core.change.ledger import DIRECTORY, inode_of
from allie.core.change.present import Offer
from allie.core.errors import PathRefused, StateError
from allie.core.tags import SIGN
from allie.core.value import Value
from allie.machine.files import atomic, directory_identity, selinux, tree
from allie.machine.roots import clone, paths
from allie.machine.roots.reach import Reach
from allie.machine.roots.stage import Stage, Stages

_FULL = (errno.ENOSPC, errno.EDQUOT)  # no other path on that disk will fare better


class MadePath(Value):
    """What was made for a path."""

    inode: tuple[int, int]  # (st_dev, st_ino)
    attrs: str  # as its file system can store them
    mark: str = ""  # of a directory where others may change names: it is known again by this


class Placer:
    """Places what the steps of one transaction bring.

    problems: what could not be placed, and why, by real path. made: what was made, by real path.
    marks: of directories of ALLiE's where others may change names, as the ledger has them.
    """

    def __init__(
        self,
        reach: Reach,
        stages: Stages,
        offers: dict[str, Offer],
        backup: Backup,
        problems: dict[str, str],
        marks: dict[str, str],
    ) -> None:
        self.made: dict[str, MadePath] = {}
        self._reach = reach
        self._stages = stages
        self._offers = offers
        self._backup = backup
        self._problems = problems
        self._marks = marks
        self._staged: dict[str, tuple[Stage, str]] = {}
        self._twins: dict[tuple[Stage, int], str] = {}
        self._labels: dict[str, bytes] = {}
        self._full: dict[Stage, str] = {}  # stages whose disk is full, or fails, and how

    def place(self, steps: list[Step], labels: dict[str, bytes]) -> None:
        """Carry out the steps that write, parents before children, but for those with problems.

        labels: the SELinux labels that new files are to have. Raises StateError where a disk does
        not take what was written.
        """
        self._labels = labels
        steps = [step for step in steps if step.real not in self._problems]
        files = [step for step in steps if step.wanted[0] != DIRECTORY]
        for step in steps:
            if step.wanted[0] == DIRECTORY:
                self._attempt(self._directory, step)
        self._write_all(files)
        for step in files:
            if step.real not in self._problems:
                self._attempt(self._take_its_place, step)

    def _write_all(self, files: list[Step]) -> None:
        """Write all files, and have them on disk: data that comes after its name could be lost."""
        for step in files:
            self._attempt(self._write, step)
        for stage in self._stages.all():
            try:
                atomic.sync_descriptor(stage.descriptor)
            except StateError as error:
                if stage is self._stages.own:
                    raise
                self._full[stage] = error.message
        for step in files:  # what was written to a disk that then was full goes, and frees it
            staged = self._staged.get(step.real)
            why = self._full.get(staged[0]) if staged else None
            if why is not None:
                self._problems.setdefault(step.real, f"cannot be put in place: {why}")

    def _attempt(self, work: Callable[[Step], None], step: Step) -> None:
        """Do it, and note what goes wrong. Raises StateError where the state's disk is full."""
        real = step.real
        try:
            work(step)
        except OSError as error:
            above = [each for each in self._problems if real.startswith(f"{each}/")]
            why = f"/{above[0]} could not" if above else error.strerror
            self._problems[real] = f"cannot be put in place: {why}"
            staged = self._staged.get(real)
            if error.errno in _FULL and staged:
                if staged[0] is self._stages.own:
                    raise StateError(f"writing /{real} failed: {error.strerror}") from error
                self._full.setdefault(staged[0], error.strerror or "")
        except PathRefused as refused:
            self._problems[real] = refused.message

    def _need_closed(self, step: Step) -> None:
        """Raise PathRefused where others could reach a file here that they cannot in the overlay.

        What is asked is the open directory into which it is renamed next, and those really above
        that (`..`): a user may have put others there since they were looked at.
        """
        above = step.real.rpartition("/")[0]
        if not step.after or not step.after.source:  # what undo brings back is in no overlay
            return
        if not self._reach.is_tainted(above):
            return
        source, way = os.path.dirname(self._offers[step.real].path), "."
        for _ in range(step.after.spelling.count("/")):
            if not self._reach.is_tainted(above):
                return
            wanted = os.lstat(source)
            if paths.is_closed(wanted):
                descriptor = self._reach.directory(step.real.rpartition("/")[0])
                if paths.lies_open(wanted, os.stat(way, dir_fd=descriptor)):
                    raise PathRefused(f"/{above}: {paths.LIES_OPEN}")
            above, source, way = above.rpartition("/")[0], os.path.dirname(source), f"{way}/.."

    def _directory(self, step: Step) -> None:
        real, source = step.real, self._offers[step.real].path
        st = self._reach.status(real)
        if st and tree.is_directory(st):
            self._describe_directory(step, source)
            return
        self._write(step)  # a new one comes with all that it has
        parent, name = self._reach.parent(real)
        if st:
            self._backup.link((parent, name), step)
            os.unlink(name, dir_fd=parent)
        self._bring(step)

    def _describe_directory(self, step: Step, source: str) -> None:
        """Give a directory that is there the overlay's owner and mode; among users only ours."""
        parent, name = self._reach.parent(step.real)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, dir_fd=parent)
        try:
            path = f"{paths.through(descriptor)}/."
            mark = ""
            if self._reach.is_below_taint(step.real):
                mark = directory_identity.mark(descriptor)
                if not self._is_ours(step, mark, path):
                    raise PathRefused(
                        "another directory than the one that ALLiE made stands there, and is not"
                        " given the overlay's owner and mode: remove it, or give them by hand"
                    )
            clone.describe_as(source, path)
            st = os.fstat(descriptor)
            attrs = tree.attributes_digest(path, st)
            self.made[step.real] = MadePath((st.st_dev, st.st_ino), attrs, mark)
        finally:
            os.close(descriptor)

    def _is_ours(self, step: Step, mark: str, path: str) -> bool:
        """Whether a directory is the one that we made; an older ledger has no mark of it."""
        known, old = self._marks.get(step.real), step.old
        if known or old is None:
            return known == mark
        st = os.stat(path)
        if tree.seen_of(st) == old.seen:  # no user sets a ctime
            return True
        as_it_was = tree.attributes_digest(path, st) == old.attrs
        return as_it_was and may_adopt(self._reach, step.real, st)

    def _write(self, step: Step, stage: Stage | None = None) -> None:
        """Make a path's new file or directory, complete, on a stage: that of its directory."""
        stage = stage or self._stages.for_directory(step.real.rpartition("/")[0])
        if stage in self._full:
            raise PathRefused(f"cannot be put in place: {self._full[stage]}")
        stage.refuse_secret(self._offers[step.real].path)
        real, name = step.real, stage.new_name()
        self._staged[real] = stage, name
        st, attrs = self._make(step, stage, name)
        mark = ""
        is_whole = step.wanted[0] == DIRECTORY and not stage.plain
        if is_whole and self._reach.is_below_taint(real):
            mark = directory_identity.mark_at(stage.path(name))
        self.made[real] = MadePath((st.st_dev, st.st_ino), attrs, mark)

    def _make(self, step: Step, stage: Stage, name: str) -> tuple[os.stat_result, str]:
        """Make it, or the hard link that it is; its lstat, and the digest of its attributes."""
        offer, path, described = self._offers[step.real], stage.path(name), not stage.plain
        made = None
        if not self._link_twin(step, stage, name):
            if offer.content[:2] == "f:":
                made = clone.make_file(offer.path, name, into=stage.descriptor, described=described)
            else:
                clone.make(offer.path, path, described=described)
            label = self._labels.get(step.real)
            if label and described:
                selinux.label(path, label)
        if made is None:
            st = os.stat(name, dir_fd=stage.descriptor, follow_symlinks=False)
            made = st, tree.attributes_digest(path, st)
        return made

    def _link_twin(self, step: Step, stage: Stage, name: str) -> bool:
        """Hard-link a file to the one it is a hard link to in the overlay; whether that is here.

        A variant never shares an inode with a path of another name.
        """
        if step.wanted[0] == DIRECTORY or (step.after and SIGN in step.after.spelling):
            return False
        key = stage, inode_of(self._offers[step.real].source)
        twin = self._twins.setdefault(key, name)
        if twin == name:
            return False
        try:
            os.link(stage.path(twin), stage.path(name), follow_symlinks=False)
            return True
        except OSError:  # the twin could not be written, or there are no links
            self._twins[key] = name
            return False

    def _take_its_place(self, step: Step) -> None:
        real = step.real
        self._need_closed(step)
        self._backup.link(self._reach.parent(real), step)
        try:
            self._bring(step)
        except (OSError, PathRefused):
            self._backup.drop(real)
            raise

    def _bring(self, step: Step) -> None:
        """Move it from its stage to its place, by one rename.

        A project quota divides a file system for renames: then it is made anew on a stage in the
        directory itself, which has that quota, too.
        """
        try:
            self._rename(step.real)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            stage = self._stages.in_place(step.real.rpartition("/")[0])
            self._write(step, stage)
            try:
                atomic.sync_descriptor(stage.descriptor)
            except StateError as failed:  # that of the state itself will say so once more
                raise PathRefused(f"cannot be put in place: {failed.message}") from failed
            self._rename(step.real)

    def _rename(self, real: str) -> None:
        stage, name = self._staged[real]
        parent, last = self._reach.parent(real)
        os.rename(name, last, src_dir_fd=stage.descriptor, dst_dir_fd=parent)


def may_adopt(reach: Reach, real: str, st: os.stat_result) -> bool:
    """Whether a directory that is as ours was, where others may change names, may pass for ours.

    Not root's in a user's directory: he can have moved there what root had left with him, to have
    its mode changed. Raises PathRefused, OSError.
    """
    return st.st_uid != 0 or os.fstat(reach.directory(real.rpartition("/")[0])).st_uid == 0
