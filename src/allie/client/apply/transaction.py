"""A transaction: make steps true in the root, so that a kill at any instant loses nothing.

    free space → intent → done-files → files → removals → sync → verify → ledger

A tick and `allie undo` both change the root by this alone.

docs/internals/rules.md, "A directory makes way only if all in it is ours", "A killed tick, and a
full disk", "What stood there first is kept once" and "The disk may have the name and not the
content".
"""

from __future__ import annotations

import os
import stat
import time
from _collections_abc import Iterable

from allie.client.apply import rearm_scripts
from allie.client.apply.placing import MadePath, Placer
from allie.client.apply.remove import Remover
from allie.client.apply.verify import confirm, marks_of
from allie.client.originals.undo_copies import Backup
from allie.client.state import records
from allie.core.change import intent as intents
from allie.core.change.intent import Intent, Step
from allie.core.change.ledger import DIRECTORY, NOTHING, UNKNOWN, Ledger
from allie.core.change.present import Offer
from allie.core.change.resolution import Problem
from allie.core.errors import PathRefused, StateError, words_of
from allie.core.lean import ExitStack
from allie.core.system import System
from allie.core.value import Value
from allie.machine.files import atomic, free_space, selinux, tree
from allie.machine.roots import clone, paths
from allie.machine.roots.reach import Reach
from allie.machine.roots.stage import Stage, Stages


class Transacted(Value):
    """What came of a transaction."""

    confirmed: tuple[Step, ...]
    problems: tuple[Problem, ...]
    ledger: Ledger  # as it is on disk now


def carry_out(here: System, intent: Intent, offers: dict[str, Offer], ledger: Ledger) -> Transacted:
    """Do the steps and bring the ledger up to date. offers: what goes where, by real path.

    A step that cannot be is a problem of its own, and the others go on. Raises StateError where the
    disk of the state has no room or fails: the ledger then still says the old, and the intent that
    is left lets the next tick sort it out.
    """
    problems: dict[str, str] = {}
    marks: dict[str, str] = {}
    with Reach(here.root) as reach:
        made: dict[str, MadePath] = {}
        due: rearm_scripts.MadeDue = {}
        if any(step.before != step.wanted or intents.writes(step) for step in intent.steps):
            made, due = _change(here, reach, intent, offers, ledger, problems)
            reach.close()  # from here on by name anew: what is confirmed is what stands there
        confirmed = confirm(reach, intent.steps, offers, made, problems)
        rearm_scripts.after(here, reach, due, confirmed)
        marks = marks_of(reach, confirmed, made, ledger)
    told = tuple(Problem(real, words) for real, words in sorted(problems.items()))
    return Transacted(tuple(confirmed), told, conclude(here, intent, confirmed, ledger, marks))


def _change(
    here: System,
    reach: Reach,
    intent: Intent,
    offers: dict[str, Offer],
    ledger: Ledger,
    problems: dict[str, str],
) -> tuple[dict[str, MadePath], rearm_scripts.MadeDue]:
    """Change the root as the steps say; what was made, and which scripts were made due before."""
    writes = [step for step in intent.steps if intents.writes(step)]
    problems.update(without_room(here, reach, writes, offers))
    place = undo_place(here, intent)
    os.makedirs(here.undo, 0o700, exist_ok=True)  # 0700 is for the last directory alone
    os.makedirs(f"{place}/files", 0o700, exist_ok=True)
    backup = Backup(place, free_space.Allowance(here.undo), here.root)
    _keep_directories(reach, intent, backup, problems)
    atomic.write(here.intent(intent.part), intents.encode(intent), 0o600)
    due = rearm_scripts.before(here, intent.steps, problems)
    with Stages(here.state, reach) as stages:
        placer = Placer(reach, stages, offers, backup, problems, ledger.marks)
        remover = Remover(reach, stages, backup, problems)
        remover.clear_the_way(intent)
        placer.place(writes, selinux.labels(here, {each.real: each.wanted[0] for each in writes}))
        remover.remove(intent)
        failed = sync(here, reach, intent.steps, stages.all())
        problems.update({real: why for real, why in failed.items() if real not in problems})
    return placer.made, due


def conclude(
    here: System,
    intent: Intent,
    confirmed: list[Step],
    ledger: Ledger,
    marks: dict[str, str] | None = None,
) -> Ledger:
    """Enter the confirmed steps in the ledger, close the undo manifest, drop the intent.

    marks: of directories, by which they are known again (`core.change.ledger`).
    """
    ledger = intents.settle(ledger, intent, confirmed, time.time(), marks or {})
    records.save_ledger(here, ledger)
    undoable = [step for step in confirmed if step.before != step.wanted]
    place = undo_place(here, intent)
    _retire_pristines(here, confirmed, place)
    if undoable:
        manifest = intents.encode(intent._replace(steps=tuple(undoable)))
        os.makedirs(place, 0o700, exist_ok=True)
        atomic.write(f"{place}/manifest", manifest, 0o600)
    else:
        _drop_undo(place)
    if atomic.remove(here.intent(intent.part)):
        atomic.sync_directory(here.state)
    return ledger


def _retire_pristines(here: System, steps: list[Step], place: str) -> None:
    """Move to undo what stood before us at a path that is left as somebody edited it."""
    for step in steps:
        if step.after or not step.old or step.tombstone:
            continue
        path = f"{here.pristine}/{step.old.pristine}"
        kept = step.old.pristine not in (NOTHING, UNKNOWN) and os.path.lexists(path)
        if kept and not intents.writes(step):
            os.makedirs(f"{place}/pristine", 0o700, exist_ok=True)
            tree.remove(f"{place}/pristine/{step.old.pristine}")
            clone.move(path, f"{place}/pristine/{step.old.pristine}")


def undo_place(here: System, intent: Intent) -> str:
    """Where a transaction keeps what it replaces."""
    return f"{here.undo}/{intent.tick}/{intent.part}"


def _drop_undo(place: str) -> None:
    """Remove the undo directory of a transaction that changed nothing, if nothing is kept there.

    It would count as one of the ticks that can be undone.
    """
    try:
        kept = [*tree.survey(f"{place}/files")] if os.path.isdir(f"{place}/files") else None
        if kept is None or not all(tree.is_directory(st) for _, st in kept):
            return
        if not os.path.lexists(f"{place}/pristine"):
            tree.remove(place)
            os.rmdir(os.path.dirname(place))
    except (OSError, PathRefused):
        return  # the other part has changed something, or there is more than is walked


def _keep_directories(
    reach: Reach, intent: Intent, backup: Backup, problems: dict[str, str]
) -> None:
    """Note mode, owner and attributes of the directories that change: all that can be kept."""
    for step in intent.steps:
        changes = step.before[0] == DIRECTORY and step.before != step.wanted
        if not changes or intents.moves_tree(step) or step.real in problems:
            continue
        try:
            st = reach.status(step.real)
            if st and stat.S_ISDIR(st.st_mode):
                clone.describe_as(reach.path(step.real), backup.make_directory(step.real))
        except (OSError, PathRefused) as error:
            problems[step.real] = f"what it is now cannot be kept: {words_of(error)}"


def without_room(
    here: System, reach: Reach, writes: list[Step], offers: dict[str, Offer]
) -> dict[str, str]:
    """The paths that a full disk would not take, and why; StateError if it is the state's own."""
    needed: dict[int, tuple[int, list[str]]] = {}
    devices: dict[str, int] = {}  # by directory
    ways: dict[int, int] = {}  # to each disk, kept open: a directory may be another one soon
    own = os.stat(here.state).st_dev
    problems: dict[str, str] = {}
    missing: set[str] = set()
    with ExitStack() as stack:
        for step in writes:
            above = step.real.rpartition("/")[0]
            try:
                if above not in devices:
                    directory = _directory_above(reach, step.real, missing)
                    device = os.fstat(directory).st_dev
                    if device not in ways:
                        ways[device] = os.dup(directory)
                        stack.callback(os.close, ways[device])
                    devices[above] = device
            except (OSError, PathRefused):
                continue  # placing it will say so
            device = devices[above]
            size, reals = needed.get(device, (0, []))
            reals.append(step.real)
            needed[device] = (size + offers[step.real].size + 4096, reals)
        for device, (size, reals) in needed.items():
            if device == own:
                free_space.need(here.state, size, len(reals))
                continue
            where = "/" + reals[0].rpartition("/")[0]
            lack = free_space.lack(paths.through(ways[device]), size, len(reals), where)
            if lack:
                problems.update(dict.fromkeys(reals, lack))
    return problems


def _directory_above(reach: Reach, real: str, missing: set[str]) -> int:
    """The nearest directory above a path that there is already; those that are not are added."""
    above = real
    while above:
        above = above.rpartition("/")[0]
        if above not in missing:
            try:
                return reach.directory(above)
            except FileNotFoundError:
                missing.add(above)
    return reach.directory("")


def sync(
    here: System, reach: Reach, steps: Iterable[Step], stages: Iterable[Stage] = ()
) -> dict[str, str]:
    """Have all data on disk, of each file system that was touched: then the ledger may speak of it.

    Each is synced by an open directory: a name may lead to another disk by now. Returns the paths
    on disks that did not take the data, and why; raises StateError where it is the state's disk.
    """
    own = os.stat(here.state).st_dev
    said: dict[int, str] = {}  # by st_dev: "" where it is on the disk
    for stage in stages:
        device = os.fstat(stage.descriptor).st_dev
        said[device] = _synced(stage.descriptor, device == own)
    failed, devices = {}, dict[str, int]()
    for step in steps:
        if step.before == step.wanted:
            continue
        above = step.real.rpartition("/")[0]
        try:
            if above not in devices:
                parent = _directory_above(reach, step.real, set())
                device = os.fstat(parent).st_dev
                if device not in said:
                    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
                    descriptor = os.open(".", flags, dir_fd=parent)
                    try:
                        said[device] = _synced(descriptor, device == own)
                    finally:
                        os.close(descriptor)
                devices[above] = device
        except (OSError, PathRefused):
            continue  # nothing was changed there
        why = said[devices[above]]
        if why:
            failed[step.real] = why
    return failed


def _synced(descriptor: int, own: bool) -> str:
    """Sync a file system: "", or why its disk did not take the data.

    own: it is the state's, without which nothing goes on: raises StateError instead.
    """
    try:
        atomic.sync_descriptor(descriptor)
        return ""
    except StateError as error:
        if own:
            raise
        return error.message


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
