"""Recover: sort out what a killed tick left, before anything else is done.

Each path of the intent that was left is old or new, never half; the root tells which of the two.

docs/internals/rules.md, "A killed tick, and a full disk" and "What stood there first is kept once".
"""

from __future__ import annotations

import os

from allie.client.apply import rearm_scripts, transaction
from allie.client.mirror import incremental
from allie.client.state import done_files, records
from allie.core.change import intent as intents
from allie.core.change.intent import Intent, State, Step
from allie.core.change.ledger import DIRECTORY, NOTHING, PARTS, Placed, size_and_mtime
from allie.core.errors import PathRefused
from allie.core.lean import suppress
from allie.core.system import System
from allie.machine.files import tree
from allie.machine.roots import stage
from allie.machine.roots.reach import Reach


def recover(here: System) -> None:
    """Finish every change and part that was cut short, and remove what was half written."""
    incremental.finish(here)
    left = [intent for intent in (transaction.read_intent(here, part) for part in PARTS) if intent]
    with Reach(here.root) as reach:
        stage.remove_left(here.state, reach, (step.real for each in left for step in each.steps))
    for intent in left:
        _recover(here, intent)
    for name in filter(records.is_half_written, os.listdir(here.state)):
        tree.remove(f"{here.state}/{name}")
    for name in (done_files.HALF, rearm_scripts.ASIDE):
        tree.remove(f"{here.done}/{name}")


def _recover(here: System, intent: Intent) -> None:
    with Reach(here.root) as reach:
        _take_back_half_trees(here, reach, intent)
        judged = [_judge(here, reach, intent, step) for step in intent.steps]
        confirmed = [step for step in judged if step]
        _drop_untaken(here, reach, intent, {step.real for step in confirmed})
        failed = transaction.sync(here, reach, confirmed)
        confirmed = [step for step in confirmed if step.real not in failed]
    ledger = records.load_ledger(here)
    if ledger.lost:  # what is known of these paths does not make the whole ledger known again
        intent = intent._replace(generation=0)
    transaction.conclude(here, intent, confirmed, ledger)


def _take_back_half_trees(here: System, reach: Reach, intent: Intent) -> None:
    """Where half of a directory had come back, remove that half: the next try brings all of it.

    The ledger has one entry for the whole directory: were that made now, nobody would ever bring
    the other half.
    """
    for top in intent.steps:
        if not intents.writes(top) or (top.before[0], top.wanted[0]) != (NOTHING, DIRECTORY):
            continue
        inside = [step for step in intent.steps if step.real.startswith(top.real + "/")]
        carried = [step for step in inside if not step.old and not step.after]
        if all(_stands(here, reach, step) == step.wanted for step in carried):
            continue
        for step in (*reversed(carried), top):
            _take_back(here, reach, step)


def _take_back(here: System, reach: Reach, step: Step) -> None:
    """Remove a copy that we have just made, if it still is one."""
    stands = _stands(here, reach, step)
    with suppress(OSError, PathRefused):  # never made, or somebody has put something there
        parent, name = reach.parent(step.real)
        if step.wanted[0] == DIRECTORY:
            os.rmdir(name, dir_fd=parent)
        elif stands == step.wanted:
            os.unlink(name, dir_fd=parent)


def _stands(here: System, reach: Reach, step: Step) -> State | None:
    """What stands at a path; None where it cannot be reached, or read, any more."""
    try:
        return reach.describe(step.real, sizes_of(here, step))
    except (OSError, PathRefused):
        return None


def sizes_of(here: System, step: Step) -> set[int]:
    """The sizes that a file at a path can have, as before or as wanted; empty: they are not known.

    A file of any other size was changed since, and need not be read. The copy in undo/ is not
    asked: it may be a hard link to a file that a user still writes to.
    """
    old, after = step.old, step.after
    sizes = {size_and_mtime(each.source)[0] for each in (old, after) if each and each.source}
    if old and old.seen:
        sizes.add(int(old.seen.split(" ", 3)[2]))
    owned = old or after
    kept = tree.status(f"{here.pristine}/{owned.pristine}") if owned and owned.pristine else None
    if kept:
        sizes.add(kept.st_size)
    knows_before = old or kept or step.before[0][:2] != "f:"
    knows_wanted = (after.source if after else kept) or step.wanted[0][:2] != "f:"
    return sizes if knows_before and knows_wanted else set()


def _drop_untaken(here: System, reach: Reach, intent: Intent, came_true: set[str]) -> None:
    """Remove from undo what was about to be replaced and was not: a hard link to the live file.

    Through no symlink in there: undo may have a user's tree as he left it.
    """
    with Reach(f"{transaction.undo_place(here, intent)}/files") as kept:
        for step in intent.steps:
            if step.real in came_true or step.before[0] == DIRECTORY:
                continue
            with suppress(OSError, PathRefused):  # it stays until its tick's copies go
                there = kept.status(step.real) is not None
                if there and reach.is_state(step.real, step.before, sizes_of(here, step)):
                    tree.remove(kept.path(step.real))


def _judge(here: System, reach: Reach, intent: Intent, step: Step) -> Step | None:
    """The step if it came true, as far as it did; None if the path is as it was before.

    None as well where it cannot be reached, or read: the tick that follows will say so.
    """
    with suppress(OSError, PathRefused):
        sizes = sizes_of(here, step)
        stands = reach.describe(step.real, sizes)
        if stands == step.wanted:
            return step._replace(after=_compare_next_time(step.after))
        if step.before[0] == DIRECTORY and stands == intents.NOTHING_THERE:
            # It made way, and what was to come did not: undo is to bring the directory back.
            after = _compare_next_time(step.after or step.old)
            return step._replace(wanted=intents.NOTHING_THERE, after=after)
        if step.old or step.after is None or reach.is_state(step.real, step.before, sizes):
            return None
        kept = f"{transaction.undo_place(here, intent)}/files/{step.real}"
        if step.before[0] in (NOTHING, DIRECTORY) or os.path.lexists(kept):
            # Placed by us for the first time, and edited since: it is ours, and drifted. Were it
            # not entered, the edit would be taken for what stood there before us.
            return step._replace(after=_compare_next_time(step.after))
    return None


def _compare_next_time(after: Placed | None) -> Placed | None:
    return after._replace(seen="") if after else None
