"""A transaction: make steps true in the root, so that a kill at any instant loses nothing.

    free space → intent → done-files → stage → rsync → verify → removals → sync → ledger

Apply and undo are both this. RULES A5, A9, A10, A11, A12 have the reasons for the order.
"""

from __future__ import annotations

import errno
import os
import stat
import time

from allie.client import leftovers, rearm, spare, state, swap
from allie.client.confirm import as_held, confirm
from allie.core import intent as intents
from allie.core.errors import PathRefused, StateError
from allie.core.intent import Intent, Step
from allie.core.ledger import (
    DIRECTORY,
    NOTHING,
    UNKNOWN,
    Ledger,
    inode_of,
)
from allie.core.plan import REMOVE
from allie.core.present import Offer
from allie.core.resolution import Problem
from allie.core.system import System
from allie.core.tags import SIGN
from allie.core.value import Value
from allie.machine import atomic, lock, paths, process, room, rsync, selinux, tree


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
        _need_room(here, writes, offers)
        _write_intent(here, intent)
        spare.make(here, touched, undo_place(here, intent))
        rearm.before(here, intent.steps)
        problems.update(_clear_the_way(here, intent))
        stage(here, writes, offers)
        problems.update(_lay(here, intent, writes))
        _remove(here, intent, problems)
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
    tree.remove(here.stage)
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


def stage(here: System, steps: list[Step], offers: dict[str, Offer]) -> None:
    """Build the tree that rsync lays over the root: hard links, under their real paths."""
    tree.remove(here.stage)
    os.makedirs(here.stage, 0o700)
    staged: dict[int, Step] = {}
    for step in steps:
        offer = offers[step.real]
        target = f"{here.stage}/{swap.laid_as(step)}"
        os.makedirs(os.path.dirname(target), 0o700, exist_ok=True)
        if offer.content == DIRECTORY:
            os.makedirs(target, 0o700, exist_ok=True)
            tree.copy_attributes(offer.path, target)
            continue
        twin = staged.setdefault(inode_of(offer.source), step)
        if twin is step or _one_group(twin, step):
            os.link(offer.path, target, follow_symlinks=False)
        else:
            tree.copy_file(offer.path, target)


def _one_group(one: Step, other: Step) -> bool:
    """A variant never shares an inode with a path of another name (RULES B8)."""
    return not any(step.after and SIGN in step.after.spelling for step in (one, other))


def _need_room(here: System, steps: list[Step], offers: dict[str, Offer]) -> None:
    """Begin nothing that would fill a disk: rsync cannot get out of that again (RULES A10)."""
    needed: dict[int, tuple[int, int, str]] = {}
    for step in steps:
        above = os.path.dirname(here.at(step.real))
        while not os.path.isdir(above):
            above = os.path.dirname(above)
        device = os.stat(above).st_dev
        size, files, _ = needed.get(device, (0, 0, ""))
        needed[device] = (size + offers[step.real].size + 4096, files + 1, above)
    needed.setdefault(os.stat(here.state).st_dev, (0, 0, here.state))
    for size, files, where in needed.values():
        room.need(where, size, files)


def _write_intent(here: System, intent: Intent) -> None:
    kept = f"{undo_place(here, intent)}/files"
    os.makedirs(here.undo, 0o700, exist_ok=True)
    os.makedirs(kept, 0o700, exist_ok=True)
    for step in intent.steps:  # of a directory only its mode, owner and attributes can be kept
        changes = step.before[0] == DIRECTORY and step.before != step.wanted
        if changes and not intents.moves_tree(step) and os.path.isdir(here.at(step.real)):
            os.makedirs(f"{kept}/{step.real}", 0o700, exist_ok=True)
            tree.copy_attributes(here.at(step.real), f"{kept}/{step.real}")
    atomic.write(here.intent(intent.part), intents.encode(intent), 0o600)


def _clear_the_way(here: System, intent: Intent) -> dict[str, str]:
    """Empty and remove the directories that a file is to replace; nothing else ever forces one."""
    problems: dict[str, str] = {}
    tops = [
        step.real
        for step in intent.steps
        if intents.writes(step) and step.before[0] == DIRECTORY != step.wanted[0]
    ]
    for top in tops:
        for step in reversed(intent.steps):
            if step.verb == REMOVE and step.real.startswith(top + "/"):
                _move_away(here, intent, step, problems)
        try:
            with paths.parent_descriptor(here.root, top) as (parent, name):
                os.rmdir(name, dir_fd=parent)
        except (OSError, PathRefused) as error:
            problems[top] = f"a directory stands there: {_words(error)}"
    return problems


def _lay(here: System, intent: Intent, steps: list[Step]) -> dict[str, str]:
    """Let rsync lay the stage over the root; what it complains of, by real path."""
    able = rsync.version(f"{here.state}/rsync")
    if not steps:
        return {}
    keep = f"{undo_place(here, intent)}/files"
    argv = rsync.lay(able, here.stage, here.root, keep)
    names = rsync.names([swap.laid_as(step) for step in steps])
    with lock.at_work(here.intent(intent.part)) as held:
        finished = process.run(argv, stdin=names, keep=[held])
    problems = swap.finish(here, steps, keep)
    selinux.relabel(here, [step.real for step in steps])
    if finished.code == 0:
        return problems
    leftovers.remove(here, intent)
    if finished.code in (11, 12) or finished.code < 0:
        raise StateError(f"writing to {here.root} failed: {rsync.reason(finished)}")
    words = rsync.reason(finished)
    failed = {}
    for step in steps:
        if tree.describe(here.at(step.real)) != as_held(here, step).wanted:
            failed[step.real] = f"rsync could not write it: {words}"
    return failed


def _remove(here: System, intent: Intent, problems: dict[str, str]) -> None:
    """Withdrawals and `absent`, deepest first."""
    for step in reversed(intent.steps):
        if step.verb == REMOVE and os.path.lexists(here.at(step.real)):
            _move_away(here, intent, step, problems)


def _move_away(here: System, intent: Intent, step: Step, problems: dict[str, str]) -> None:
    """Take one path out of the root; a file, or a tree made absent, goes to undo."""
    keep = f"{undo_place(here, intent)}/files/{step.real}"
    try:
        with paths.parent_descriptor(here.root, step.real) as (parent, name):
            if step.before[0] == DIRECTORY and step.after is None:
                _rmdir(name, parent)
                return
            into = os.path.dirname(keep)
            os.makedirs(into, 0o700, exist_ok=True)
            try:
                os.rename(name, keep, src_dir_fd=parent)
            except OSError as error:
                if error.errno != errno.EXDEV:  # undo is on another disk
                    raise
                _copy_and_remove(here, parent, name, into)
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


def _copy_and_remove(here: System, parent: int, name: str, into: str) -> None:
    place = paths.through(parent)
    names = [name]
    if os.path.isdir(f"{place}/{name}") and not os.path.islink(f"{place}/{name}"):
        names += [f"{name}/{below}" for below, _ in tree.listing(f"{place}/{name}")]
    swap.copy_out(here, parent, names, into)
    away = swap.beside(name)  # half of a tree must not be taken for all of it
    os.rename(name, away, src_dir_fd=parent, dst_dir_fd=parent)
    tree.remove(f"{place}/{away}")


def _sync(here: System, steps: list[Step]) -> None:
    """Once for each disk that was touched; rsync's own word is not enough (RULES A12)."""
    touched = {}
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
