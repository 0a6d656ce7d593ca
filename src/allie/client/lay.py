"""Lay: put what a transaction places into the root.

    directories → each file beside its place → on disk → what stands there to undo → rename

Up to the first rename no file of the root has changed, and what is renamed is on disk, so that a
file is the old one or the new one after a power cut, too. Nothing leads out of the root: each
directory is reached by descriptors that follow no link. docs/explanation/power-off.md says why this
is not left to rsync, which fetches all that is laid here.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from allie.client.backup import Backup
from allie.core import intent as intents
from allie.core.errors import PathRefused, StateError
from allie.core.intent import Step
from allie.core.ledger import DIRECTORY, inode_of
from allie.core.present import Offer
from allie.core.system import System
from allie.core.tags import SIGN
from allie.machine import atomic, clone, paths, tree

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO)  # no other path will fare better


def lay(
    here: System,
    steps: list[Step],
    offers: dict[str, Offer],
    backup: Backup,
    problems: dict[str, str],
) -> None:
    """Carry out the steps that write, parents before children.

    What could not be is added to problems, by real path; those that have one already are left out.
    Raises StateError where a disk is full or fails.
    """
    steps = [step for step in steps if step.real not in problems]
    files = [step for step in steps if step.wanted[0] != DIRECTORY]
    try:
        for step in steps:
            if step.wanted[0] == DIRECTORY:
                with _noting(here, step, problems) as at:
                    _make_directory(at, step.real, offers[step.real], backup)
        _write_beside(here, files, offers, problems)
        for step in files:
            if step.real not in problems:
                with _noting(here, step, problems) as at:
                    _take_its_place(at, step.real, backup)
    except StateError:
        clean(here, steps)
        raise
    clean(here, [step for step in steps if step.real in problems])


def clean(here: System, steps: Iterable[Step]) -> None:
    """Remove what was cut short, or failed, beside the places of these."""
    for step in steps:
        try:
            with paths.parent_descriptor(here.root, step.real) as (parent, name):
                left = f"{paths.through(parent)}/{paths.beside(name)}"
                if intents.moves_tree(step):
                    tree.remove(left)
                elif intents.writes(step):
                    _discard(left)
        except (OSError, PathRefused):
            pass  # nothing is there, as nearly always


@contextmanager
def _noting(here: System, step: Step, problems: dict[str, str]) -> Iterator[tuple[int, str]]:
    """Hold open the directory of a step's path (yields it, and the name); note what goes wrong."""
    try:
        with paths.parent_descriptor(here.root, step.real) as at:
            yield at
    except OSError as error:
        if error.errno in _DISK:
            raise StateError(f"writing /{step.real} failed: {error.strerror}") from error
        problems[step.real] = f"cannot be put in place: {error.strerror}"
    except PathRefused as refused:
        problems[step.real] = refused.message


def _make_directory(at: tuple[int, str], real: str, offer: Offer, backup: Backup) -> None:
    parent, name = at
    path = f"{paths.through(parent)}/{name}"
    st = tree.status(path)
    if st and tree.is_directory(st):
        clone.describe_as(offer.path, path)
        return
    _write(offer.path, at)  # a new one comes with all that it is to have
    if st:
        backup.keep(at, real)
        os.unlink(name, dir_fd=parent)
    os.rename(paths.beside(name), name, src_dir_fd=parent, dst_dir_fd=parent)


def _write_beside(
    here: System, files: list[Step], offers: dict[str, Offer], problems: dict[str, str]
) -> None:
    """Write all files, and have them on disk: data that comes after its name could be lost."""
    first: dict[int, Step] = {}
    disks: dict[int, str] = {}
    for step in files:
        with _noting(here, step, problems) as (parent, name):
            offer = offers[step.real]
            twin = first.setdefault(inode_of(offer.source), step)
            if twin is step or not _link(here, twin, step, (parent, name)):
                _write(offer.path, (parent, name))
            disks[os.fstat(parent).st_dev] = os.path.dirname(here.at(step.real))
    for place in disks.values():
        atomic.sync_filesystem(place)


def _write(source: str, at: tuple[int, str]) -> None:
    parent, name = at
    target = f"{paths.through(parent)}/{paths.beside(name)}"
    try:
        clone.make(source, target)
    except FileExistsError:  # it lay in a directory that was elsewhere when we cleaned
        _discard(target)
        clone.make(source, target)


def _discard(left: str) -> None:
    """Remove a file or an empty directory; in any other is something that is not ours."""
    try:
        os.unlink(left)
    except IsADirectoryError:
        os.rmdir(left)


def _link(here: System, twin: Step, step: Step, at: tuple[int, str]) -> bool:
    """Make a file the same one as its twin in the overlay (RULES B8); whether that could be.

    A variant never shares an inode with a path of another name.
    """
    if any(each.after and SIGN in each.after.spelling for each in (twin, step)):
        return False
    parent, name = at
    try:
        with paths.parent_descriptor(here.root, twin.real) as (other, other_name):
            source, target = paths.beside(other_name), paths.beside(name)
            os.link(source, target, src_dir_fd=other, dst_dir_fd=parent, follow_symlinks=False)
            return True
    except (OSError, PathRefused):
        return False  # on another disk, or the twin could not be written


def _take_its_place(at: tuple[int, str], real: str, backup: Backup) -> None:
    parent, name = at
    backup.keep(at, real)
    try:
        os.rename(paths.beside(name), name, src_dir_fd=parent, dst_dir_fd=parent)
    except OSError:
        backup.drop(real)
        raise
