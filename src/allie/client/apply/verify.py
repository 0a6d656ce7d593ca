"""Verify: look whether each step of a transaction came true, and note the lstat that says so.

This comes after all is in place or removed, and before the ledger is written. It changes nothing.
Where something else stands by now, that is noted as the path's problem, and not repaired: what
somebody has put there would get the overlay's owner and mode.
"""

from __future__ import annotations

import os
import stat
import time
from _collections_abc import Iterable

from allie.client.apply.placing import MadePath, may_adopt
from allie.client.apply.unchanged import FRESH
from allie.core.change import intent as intents
from allie.core.change.intent import Step
from allie.core.change.ledger import DIRECTORY, Ledger, ctime_of, size_and_mtime
from allie.core.change.plan import FORGET, NOTE, REMOVE
from allie.core.change.present import Offer
from allie.core.errors import PathRefused
from allie.machine.files import tree
from allie.machine.files.directory_identity import mark_at
from allie.machine.roots.reach import Reach


def confirm(
    reach: Reach,
    steps: tuple[Step, ...],
    offers: dict[str, Offer],
    made: dict[str, MadePath],
    problems: dict[str, str],
) -> list[Step]:
    """The steps that came true, with the lstat by which the ledger knows them from now on.

    made: what was placed. Those that did not come true are added to problems, by real path.
    """
    confirmed = []
    newest = 0
    if made:  # or all would have to be looked at twice: the newest is as young as the clock's grain
        time.sleep(FRESH / 1e9)
    for step in steps:
        if step.real in problems or _still_holds(step, problems):
            continue
        try:
            step = _confirmed(reach, step, offers, made)
        except PathRefused as refused:
            problems[step.real] = refused.message
            continue
        except OSError as error:
            problems[step.real] = f"cannot be looked at: {error.strerror}"
            continue
        if step.after and step.after.seen:
            newest = max(newest, ctime_of(step.after.seen))
        confirmed.append(step)
    if time.time_ns() - newest < FRESH:
        time.sleep(FRESH / 1e9)
        confirmed = [_if_still(reach, step) for step in confirmed]
    return confirmed


def marks_of(
    reach: Reach, steps: list[Step], made: dict[str, MadePath], ledger: Ledger
) -> dict[str, str]:
    """The marks of directories of ours where others may change names, by real path.

    One that is as it is wanted, and has no mark yet, is taken for ours (but see `may_adopt`): after
    a restore, or where an older ALLiE made it.
    """
    marks = {real: each.mark for real, each in made.items() if each.mark}
    for step in steps:
        unknown = step.verb == NOTE and step.after and step.after.content == DIRECTORY
        if not unknown or step.before != step.wanted or step.after is None or not step.after.seen:
            continue
        try:
            if not reach.is_below_taint(step.real):
                continue
            st, mark = reach.status(step.real), mark_at(reach.path(step.real))
            known = mark == ledger.marks.get(step.real)
            if st and (known or may_adopt(reach, step.real, st)):
                marks[step.real] = mark
        except (OSError, PathRefused):
            continue
    return marks


def _confirmed(
    reach: Reach, step: Step, offers: dict[str, Offer], made: dict[str, MadePath]
) -> Step:
    """The step, if it came true. Raises PathRefused."""
    if step.verb == REMOVE:
        if step.before[0] != DIRECTORY and _is_there(reach, step.real):
            raise PathRefused("it is back as soon as it was removed: somebody writes there")
        if step.before[0] == DIRECTORY and not step.after and _is_there(reach, step.real):
            return step._replace(verb=FORGET, why="left: it is not empty", wanted=step.before)
        return step
    if not intents.writes(step):
        return step
    st = reach.status(step.real)
    own = made.get(step.real)
    is_it = st is not None and own is not None and (st.st_dev, st.st_ino) == own.inode
    if not is_it and reach.is_below_taint(step.real):
        raise PathRefused("something else stands there as soon as it was put in place")
    if own:
        step = as_stored(step, own.attrs)
    seen = tree.seen_of(st) if st and _as_offered(reach, step, st, offers) else ""
    if not seen and _is_unwritten(reach, step):
        raise PathRefused("it was put in place, and yet it does not stand there")
    if step.after:
        # What undo put back is not what the ledger goes on to want: compare next time.
        wanted = (step.after.content, step.after.attrs) == step.wanted
        step = step._replace(after=step.after._replace(seen=seen if wanted else ""))
    return step


def _still_holds(step: Step, problems: Iterable[str]) -> bool:
    """Whether a directory of ours that was to go still has something in it that could not be."""
    return step.verb == REMOVE and any(real.startswith(f"{step.real}/") for real in problems)


def _is_there(reach: Reach, real: str) -> bool:
    """Whether something stands at a path, with no link above it."""
    try:
        return reach.status(real) is not None
    except PathRefused:
        return False


def as_stored(step: Step, attrs: str) -> Step:
    """The step with the attributes that its file system can store: vfat has no owner or mode.

    Else that would be drift at every tick, and written again in vain.
    """
    if attrs == step.wanted[1]:
        return step
    ours = step.after and (step.after.content, step.after.attrs) == step.wanted
    after = step.after._replace(attrs=attrs) if ours and step.after else step.after
    return step._replace(wanted=(step.wanted[0], attrs), after=after)


def _is_unwritten(reach: Reach, step: Step) -> bool:
    """Whether the path is as it was before, although no call failed."""
    return step.before != step.wanted and reach.is_state(step.real, step.before)


def _as_offered(reach: Reach, step: Step, st: os.stat_result, offers: dict[str, Offer]) -> bool:
    """Whether an lstat tells that what stands is what was offered; else compare next time."""
    offer = offers[step.real]
    if offer.content == DIRECTORY:
        return stat.S_ISDIR(st.st_mode)
    if stat.S_ISLNK(st.st_mode):
        return "l:" + os.readlink(reach.path(step.real)) == offer.content
    return (st.st_size, st.st_mtime_ns) == size_and_mtime(offer.source)


def _if_still(reach: Reach, step: Step) -> Step:
    """The step; without its lstat (compare next time) where that has changed meanwhile."""
    if step.after is None or not step.after.seen:
        return step
    try:
        st = reach.status(step.real)
    except (OSError, PathRefused):
        st = None
    if st is not None and tree.seen_of(st) == step.after.seen:
        return step
    return step._replace(after=step.after._replace(seen=""))
