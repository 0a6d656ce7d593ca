"""Confirm: look whether each step of a transaction came true, and note what vouches for it.

This comes after all is in place or removed, and before the ledger is written. It changes nothing.
"""

from __future__ import annotations

import os
import stat
import time

from allie.core import intent as intents
from allie.core.intent import Step
from allie.core.ledger import DIRECTORY, ctime_of, size_and_mtime
from allie.core.plan import REMOVE
from allie.core.present import Offer
from allie.core.system import System
from allie.machine import holds, tree

_FRESH = 20_000_000  # ns; a change within the clock's grain of our look would go unseen


def confirm(
    here: System, steps: tuple[Step, ...], offers: dict[str, Offer], problems: dict[str, str]
) -> list[Step]:
    """The steps that came true, with what the ledger needs to vouch for them from now on."""
    confirmed = []
    newest = 0
    for step in steps:
        if step.real in problems:
            continue
        st = tree.status(here.at(step.real))
        if step.verb == REMOVE and step.before[0] != DIRECTORY and st:
            problems[step.real] = "it is back as soon as it was removed: somebody writes there"
            continue
        if intents.writes(step):
            step = as_held(here, step)
            seen = tree.seen_of(st) if st and _as_staged(here, step, st, offers) else ""
            if not seen and _is_unwritten(here, step):
                problems[step.real] = "it was put in place, and yet it does not stand there"
                continue
            if step.after:
                # What undo put back is not what the ledger goes on to want: compare next time.
                wanted = (step.after.content, step.after.attrs) == step.wanted
                step = step._replace(after=step.after._replace(seen=seen if wanted else ""))
        if step.after and step.after.seen:
            newest = max(newest, ctime_of(step.after.seen))
        confirmed.append(step)
    if time.time_ns() - newest < _FRESH:
        time.sleep(_FRESH / 1e9)
        confirmed = [_if_still(here, step) for step in confirmed]
    return confirmed


def as_held(here: System, step: Step) -> Step:
    """The step as its file system can hold it: a mode or owner that vfat has not is not wanted.

    Else it would be drift at every tick, and written again in vain.
    """
    path = here.at(step.real)
    st = tree.status(path)
    plain = step.wanted[0] == DIRECTORY or step.wanted[0].startswith("f:")
    if st is None or not plain or tree.attributes_digest(path, st) == step.wanted[1]:
        return step
    attrs = holds.attributes(here.root, step.real, step.wanted[1])
    content = step.wanted[0]
    if attrs == step.wanted[1] or tree.content_digest(path, st) != content:
        return step
    ours = step.after and (step.after.content, step.after.attrs) == step.wanted
    after = step.after._replace(attrs=attrs) if ours and step.after else step.after
    return step._replace(wanted=(content, attrs), after=after)


def _is_unwritten(here: System, step: Step) -> bool:
    """Whether the path is as it was before: a call's word alone is not enough (RULES A5)."""
    return step.before != step.wanted and tree.is_state(here.at(step.real), step.before)


def _as_staged(here: System, step: Step, st: os.stat_result, offers: dict[str, Offer]) -> bool:
    """Whether what stands is what was staged, as far as an lstat tells; else compare next time."""
    offer = offers[step.real]
    if offer.content == DIRECTORY:
        return stat.S_ISDIR(st.st_mode)
    if stat.S_ISLNK(st.st_mode):
        return "l:" + os.readlink(here.at(step.real)) == offer.content
    return (st.st_size, st.st_mtime_ns) == size_and_mtime(offer.source)


def _if_still(here: System, step: Step) -> Step:
    """The step, vouched for only if the path stood still while we looked."""
    if step.after is None or not step.after.seen:
        return step
    st = tree.status(here.at(step.real))
    if st is not None and tree.seen_of(st) == step.after.seen:
        return step
    return step._replace(after=step.after._replace(seen=""))
