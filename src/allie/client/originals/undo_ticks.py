"""The ticks that can be undone: what each keeps of what it replaced, and for how long.

It puts nothing back: `client.apply.undo` does.

docs/internals/rules.md, "What stood there first is kept once".
"""

from __future__ import annotations

import os
import time

from allie.client.originals import undo_copies
from allie.client.state import records
from allie.core.change import intent as intents
from allie.core.change.intent import Intent
from allie.core.change.ledger import PARTS, UNKNOWN, Ledger
from allie.core.errors import PathRefused
from allie.core.lean import suppress
from allie.core.system import System
from allie.machine.files import atomic, tree

_TICKS = 10
_SECONDS = 30 * 86400
_BYTES, _NAMES = 200 * 2**20, 200_000
_NAMES_OF_OTHERS = 40_000

Counts = tuple[int, ...]  # bytes and names of ALLiE's and root's own, and of what others made


def prune(here: System, ledger: Ledger) -> None:
    """Remove ticks beyond ten, thirty days or 200 MB, but the newest; and unused pristine files.

    What others made has limits of its own, beyond which just the tick that has it goes: else a user
    could throw away what the administrator would take back.
    """
    total: Counts = (0, 0, 0, 0)
    for age, number in enumerate(reversed(records.kept_ticks(here))):
        place = f"{here.undo}/{number}"
        counts = _counts(place, changes=not age)
        before, total = total, _sum(total, counts)
        large = total[0] > _BYTES or total[1] > _NAMES
        strange = any(counts[2:]) and (total[2] > _BYTES or total[3] > _NAMES_OF_OTHERS)
        old = time.time() - os.lstat(place).st_mtime > _SECONDS
        if age and (age >= _TICKS or old or large or strange):
            remove(place)
            total = (*total[:2], *before[2:])
    _remove_orphans(here, ledger)


def remove(place: str) -> None:
    """Remove what a tick kept; where something is mounted in it, at least it cannot be undone.

    A user can have moved a directory with a mount of root's into his tree before it was kept.
    """
    for part in PARTS:
        with suppress(OSError):
            atomic.remove(f"{place}/{part}/manifest")
    with suppress(OSError):
        tree.remove(place)


def _counts(place: str, *, changes: bool) -> Counts:
    """What a tick keeps, counted when it was kept. changes: it may not be all, so note nothing."""
    total: Counts = (0, 0, 0, 0)
    for part in PARTS:
        top = f"{place}/{part}"
        if not os.path.isdir(top):
            continue
        noted = (atomic.read_note(f"{top}/{undo_copies.NOTE}") or "").split()
        if len(noted) == 4 and all(each.isdigit() for each in noted):
            counts = tuple(map(int, noted))
        else:  # of a tick that was killed, or of an older ALLiE
            counts = (0, 0, *_found(f"{top}/files"))
            if not changes:
                undo_copies.note_counts(top, counts)
        total = _sum(_sum(total, counts), (*_found(f"{top}/pristine"), 0, 0))
    return total


def _sum(one: Counts, other: Counts) -> Counts:
    return tuple(map(sum, zip(one, other)))


def _found(top: str) -> tuple[int, int]:
    """The bytes and names below a directory now; holes, which anybody can make, do not count."""
    size = names = 0
    try:
        for _, st in tree.survey(top) if os.path.isdir(top) else ():
            size, names = size + st.st_blocks * 512, names + 1
    except (OSError, PathRefused):  # a tree deeper, or with more names, than is walked
        return _BYTES, _NAMES_OF_OTHERS
    return size, names


def _remove_orphans(here: System, ledger: Ledger) -> None:
    """Remove the pristine files that no ledger entry, tombstone or undo copy names."""
    kept = set(tree.names(here.pristine))
    known = [*ledger.entries.values(), *(each.placed for each in ledger.tombstones.values())]
    used = {placed.pristine for placed in known}
    if kept <= used:
        return  # as nearly always, and then undo need not be asked
    for number in records.kept_ticks(here):
        steps = [step for each in manifests(here, number) for step in each.steps]
        used |= {step.old.pristine for step in steps if step.old}
    if UNKNOWN in used:
        return  # the ledger was lost: nobody knows what these files are good for
    for name in kept - used:
        tree.remove(f"{here.pristine}/{name}")


def manifests(here: System, tick: int) -> list[Intent]:
    """What the parts of a tick changed, but for an undo: that is not undone."""
    found = []
    for part in PARTS:
        text = atomic.read(f"{here.undo}/{tick}/{part}/manifest")
        manifest = intents.decode(text) if text else None
        if manifest and not manifest.undoes:
            found.append(manifest)
    return found
