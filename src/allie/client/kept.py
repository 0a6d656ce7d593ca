"""The copies that ticks keep of what they replaced: which there are, and for how long (RULES B16).

It puts nothing back: that is undo's.
"""

from __future__ import annotations

import os
import time

from allie.core import intent as intents
from allie.core.intent import Intent
from allie.core.ledger import PARTS, UNKNOWN, Ledger
from allie.core.system import System
from allie.machine import atomic, tree

_TICKS = 10
_SECONDS = 30 * 86400
_BYTES = 200 * 2**20


def ticks(here: System) -> list[int]:
    """The numbers of the ticks whose changes are kept, oldest first."""
    try:
        return sorted(int(name) for name in os.listdir(here.undo) if name.isdigit())
    except FileNotFoundError:
        return []


def prune(here: System, books: Ledger) -> None:
    """Keep the last ten ticks, thirty days, 200 MB; the newest always. And no orphaned pristine."""
    size = 0
    for age, number in enumerate(reversed(ticks(here))):
        place = f"{here.undo}/{number}"
        size += _size(place, changes=not age)
        old = time.time() - os.lstat(place).st_mtime > _SECONDS
        if age and (age >= _TICKS or old or size > _BYTES):
            tree.remove(place)
    _remove_orphans(here, books)


def _size(place: str, *, changes: bool) -> int:
    """The bytes that a tick keeps; of one that changes no more, counted once and noted in it."""
    note = f"{place}/bytes"
    noted = "" if changes else (atomic.read(note) or "")
    if noted.isdigit():
        return int(noted)
    try:
        size = sum(os.lstat(f"{place}/{path}").st_size for path, _ in tree.listing(place))
    except OSError:  # a tree that a user had made deeper than a path can be long
        size = _BYTES
    if not changes:
        began = os.stat(place).st_mtime_ns
        atomic.write(note, str(size), 0o600, durable=False)
        os.utime(place, ns=(began, began))  # its age is that of the tick
    return size


def _remove_orphans(here: System, books: Ledger) -> None:
    """Remove the pristine files that neither ledger, tombstone nor undo speaks of."""
    kept = set(os.listdir(here.pristine)) if os.path.isdir(here.pristine) else set()
    known = [*books.entries.values(), *(each.placed for each in books.tombstones.values())]
    used = {placed.pristine for placed in known}
    if kept <= used:
        return  # as nearly always, and then undo need not be asked
    for number in ticks(here):
        steps = [step for each in manifests(here, number) for step in each.steps]
        used |= {step.old.pristine for step in steps if step.old}
    if UNKNOWN in used:
        return  # the ledger was lost: nobody knows what these files are good for
    for name in kept - used:
        tree.remove(f"{here.pristine}/{name}")


def manifests(here: System, tick: int) -> list[Intent]:
    """What a tick's parts changed; what an undo itself did is not undone."""
    found = []
    for part in PARTS:
        text = atomic.read(f"{here.undo}/{tick}/{part}/manifest")
        manifest = intents.decode(text) if text else None
        if manifest and not manifest.undoes:
            found.append(manifest)
    return found
