"""Remove: take out of the root what a transaction withdraws, or makes absent.

It moves to undo; just the empty directories that ALLiE made are removed.
"""

from __future__ import annotations

import errno
import os
from _collections_abc import Iterable

from allie.client.originals.undo_copies import Backup
from allie.core.change import intent as intents
from allie.core.change.intent import Intent, Step
from allie.core.change.ledger import DIRECTORY
from allie.core.change.plan import REMOVE
from allie.core.errors import PathRefused, words_of
from allie.machine.roots.reach import Reach
from allie.machine.roots.stage import Stages


class Remover:
    """Removes for one transaction; what could not be is added to problems, by real path."""

    def __init__(
        self, reach: Reach, stages: Stages, backup: Backup, problems: dict[str, str]
    ) -> None:
        self._reach = reach
        self._stages = stages
        self._backup = backup
        self._problems = problems
        self._gone: set[str] = set()

    def clear_the_way(self, intent: Intent) -> None:
        """Empty and remove the directories that a file is to replace."""
        tops = [
            step.real
            for step in intent.steps
            if intents.writes(step)
            and step.before[0] == DIRECTORY != step.wanted[0]
            and step.real not in self._problems
        ]
        for top in tops:
            self._remove_all(each for each in intent.steps if each.real.startswith(f"{top}/"))
            try:
                parent, name = self._reach.parent(top)
                os.rmdir(name, dir_fd=parent)
            except (OSError, PathRefused) as error:
                self._problems[top] = f"a directory stands there: {words_of(error)}"

    def remove(self, intent: Intent) -> None:
        """Withdrawals and `absent`, deepest first."""
        self._remove_all(intent.steps)
        self._backup.note()  # this is the last that a transaction takes

    def _remove_all(self, steps: Iterable[Step]) -> None:
        for step in reversed(list(steps)):
            if step.verb == REMOVE and step.real not in {*self._problems, *self._gone}:
                self._move_away(step)

    def _move_away(self, step: Step) -> None:
        """Take one path out of the root; a file, or a tree made absent, goes to undo."""
        self._gone.add(step.real)
        try:
            if self._reach.status(step.real) is None:
                return
            parent, name = self._reach.parent(step.real)
            if step.before[0] == DIRECTORY and step.after is None:
                _rmdir(name, parent)
                return
            self._move_to_undo(step)
        except (OSError, PathRefused) as error:
            words = words_of(error)
            if isinstance(error, FileNotFoundError):
                if self._is_gone(step.real):
                    return
                words = "something in it went while it was taken away"
            self._problems[step.real] = f"cannot be removed: {words}"

    def _move_to_undo(self, step: Step) -> None:
        """Move a path to undo, by way of its stage where its file system cannot do that (EXDEV).

        With a project quota that is a stage in the directory itself, which has that quota, too.
        overlayfs moves no directory of its lower layer: it is removed there, once undo has a copy.
        """
        above = step.real.rpartition("/")[0]
        for stage_of in (self._stages.for_directory, self._stages.in_place, None):
            stage = stage_of(above) if stage_of else None
            away = (stage.descriptor, stage.new_name()) if stage else None
            try:
                self._backup.move(self._reach.parent(step.real), step, away)
                return
            except OSError as error:
                if error.errno != errno.EXDEV or not stage:
                    raise

    def _is_gone(self, real: str) -> bool:
        try:
            return self._reach.status(real) is None
        except (OSError, PathRefused):
            return False


def _rmdir(name: str, parent: int) -> None:
    """Remove a directory that we made if it is empty; else it stays, and is no longer ours."""
    try:
        os.rmdir(name, dir_fd=parent)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
