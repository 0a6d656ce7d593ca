"""A transaction: make steps true in the root, so that a kill at any instant loses nothing.

    free space → intent → done-files → files → removals → sync → verify → ledger

Apply and undo are both this. RULES A9, A10, A11, A12 have the reasons for the order.
"""

from __future__ import annotations

import errno
import os
import stat
import time

from allie.client import rearm, state
from allie.client.backup import Backup
from allie.client.confirm import confirm
from allie.client.lay import lay
from allie.core import intent as intents
from allie.core.errors import PathRefused
from allie.core.intent import Intent, Step
from allie.core.ledger import DIRECTORY, NOTHING, UNKNOWN, Ledger
from allie.core.plan import REMOVE
from allie.core.present import Offer
from allie.core.resolution import Problem
from allie.core.system import System
from allie.core.value import Value
from allie.machine import atomic, clone, paths, room, selinux, tree


class Outcome(Value):
    """What came of a transaction."""

    confirmed: tuple[Step, ...]
    problems: tuple[Problem, ...]
    books: Ledger  # as they are on disk now


def carry_out(here: System, intent: Intent, offers: dict[str, Offer], books: Ledger) -> Outcome:
    """Do the steps and bring the ledger up to date. offers: what goes where, by real path.

    Raises StateError where the disk has no room or fails: the ledger then still says the old, and
    the intent that is left lets the next tick sort it out.
    """
    problems: dict[str, str] = {}
    touched = [step for step in intent.steps if step.before != step.wanted]
    if touched or any(intents.writes(step) for step in intent.steps):
        writes = [step for step in intent.steps if intents.writes(step)]
        backup = Backup(undo_place(here, intent))
        _keep_directories(here, intent, backup)
        _need_room(here, writes, touched, offers, backup)
        atomic.write(here.intent(intent.part), intents.encode(intent), 0o600)
        rearm.before(here, intent.steps)
        _clear_the_way(here, intent, backup, problems)
        lay(here, writes, offers, backup, problems)
        selinux.relabel(here, [step.real for step in writes])
        _remove(here, intent, backup, problems)
        _sync(here, touched)
    confirmed = confirm(here, intent.steps, offers, problems)
    told = tuple(Problem(real, words) for real, words in sorted(problems.items()))
    return Outcome(tuple(confirmed), told, conclude(here, intent, confirmed, books))


def conclude(here: System, intent: Intent, confirmed: list[Step], books: Ledger) -> Ledger:
    """Enter the confirmed steps in the ledger, close the undo manifest, drop the intent."""
    books = intents.settle(books, intent, confirmed, time.time())
    state.save_ledger(here, books)
    undoable = [step for step in confirmed if step.before != step.wanted]
    place = undo_place(here, intent)
    _retire_pristines(here, confirmed, place)
    if undoable:
        manifest = intents.encode(intent._replace(steps=tuple(undoable)))
        os.makedirs(place, 0o700, exist_ok=True)
        atomic.write(f"{place}/manifest", manifest, 0o600)
    if atomic.remove(here.intent(intent.part)):
        atomic.sync_directory(here.state)
    return books


def _retire_pristines(here: System, steps: list[Step], place: str) -> None:
    """Where a file that was edited here is left, what stood there before us moves to undo."""
    for step in steps:
        if step.after or not step.old or step.tombstone:
            continue
        path = f"{here.pristine}/{step.old.pristine}"
        kept = step.old.pristine not in (NOTHING, UNKNOWN) and os.path.lexists(path)
        if kept and not intents.writes(step):
            os.makedirs(f"{place}/pristine", 0o700, exist_ok=True)
            tree.remove(f"{place}/pristine/{step.old.pristine}")
            os.rename(path, f"{place}/pristine/{step.old.pristine}")


def undo_place(here: System, intent: Intent) -> str:
    """Where a transaction keeps what it replaces."""
    return f"{here.undo}/{intent.tick}/{intent.part}"


def _keep_directories(here: System, intent: Intent, backup: Backup) -> None:
    """Note mode, owner and attributes of the directories that change: all that can be kept."""
    os.makedirs(here.undo, 0o700, exist_ok=True)  # 0700 is for the last one alone
    os.makedirs(backup.files, 0o700, exist_ok=True)
    for step in intent.steps:
        changes = step.before[0] == DIRECTORY and step.before != step.wanted
        if changes and not intents.moves_tree(step) and os.path.isdir(here.at(step.real)):
            os.makedirs(f"{backup.files}/{step.real}", 0o700, exist_ok=True)
            clone.describe_as(here.at(step.real), f"{backup.files}/{step.real}")


def _need_room(
    here: System,
    writes: list[Step],
    touched: list[Step],
    offers: dict[str, Offer],
    backup: Backup,
) -> None:
    """Begin nothing that would fill a disk (RULES A10)."""
    needed: dict[int, tuple[int, int, str]] = {}
    for step in writes:
        above = os.path.dirname(here.at(step.real))
        while not os.path.isdir(above):
            above = os.path.dirname(above)
        device = os.stat(above).st_dev
        size, files, _ = needed.get(device, (0, 0, ""))
        needed[device] = (size + offers[step.real].size + 4096, files + 1, above)
    device = os.stat(here.state).st_dev
    size, files, _ = needed.get(device, (0, 0, ""))
    copies = [backup.size(here.at(step.real)) for step in touched]
    needed[device] = (size + sum(copies), files + len(copies) - copies.count(0), here.state)
    for size, files, where in needed.values():
        room.need(where, size, files)


def _clear_the_way(here: System, intent: Intent, backup: Backup, problems: dict[str, str]) -> None:
    """Empty and remove the directories that a file is to replace; nothing else ever forces one."""
    tops = [
        step.real
        for step in intent.steps
        if intents.writes(step) and step.before[0] == DIRECTORY != step.wanted[0]
    ]
    for top in tops:
        for step in reversed(intent.steps):
            if step.verb == REMOVE and step.real.startswith(top + "/"):
                _move_away(here, step, backup, problems)
        try:
            with paths.parent_descriptor(here.root, top) as (parent, name):
                os.rmdir(name, dir_fd=parent)
        except (OSError, PathRefused) as error:
            problems[top] = f"a directory stands there: {_words(error)}"


def _remove(here: System, intent: Intent, backup: Backup, problems: dict[str, str]) -> None:
    """Withdrawals and `absent`, deepest first."""
    for step in reversed(intent.steps):
        if step.verb == REMOVE and os.path.lexists(here.at(step.real)):
            _move_away(here, step, backup, problems)


def _move_away(here: System, step: Step, backup: Backup, problems: dict[str, str]) -> None:
    """Take one path out of the root; a file, or a tree made absent, goes to undo."""
    try:
        with paths.parent_descriptor(here.root, step.real) as (parent, name):
            if step.before[0] == DIRECTORY and step.after is None:
                _rmdir(name, parent)
            else:
                backup.take((parent, name), step.real)
    except FileNotFoundError:
        return
    except (OSError, PathRefused) as error:
        problems[step.real] = f"cannot be removed: {_words(error)}"


def _rmdir(name: str, parent: int) -> None:
    """A directory that we made goes if it is empty; else it stays, and is no longer ours."""
    try:
        os.rmdir(name, dir_fd=parent)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise


def _sync(here: System, steps: list[Step]) -> None:
    """Once for each disk that was touched: only then may the ledger speak of it (RULES A12)."""
    touched = {os.stat(here.undo).st_dev: here.undo} if steps else {}
    for step in steps:
        above = os.path.dirname(here.at(step.real))
        st = tree.status(above)
        if st and stat.S_ISDIR(st.st_mode):
            touched[st.st_dev] = above
    for place in touched.values():
        atomic.sync_filesystem(place)


def _words(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def read_intent(here: System, part: str) -> Intent | None:
    """The intent that a killed transaction left, if it did."""
    text = atomic.read(here.intent(part))
    if text is None:
        return None
    try:
        return intents.decode(text)
    except ValueError:
        atomic.remove(here.intent(part))  # never durable, so nothing was begun
        return None
