"""Pristine files: what stood at a path before ALLiE first placed something there.

They lie flat in pristine/, under a digest of the path and its last name, since what is a file today
may have been a directory once.
"""

from __future__ import annotations

import os

from allie.core import digest
from allie.core.errors import StateError
from allie.core.ledger import DIRECTORY, NOTHING, UNKNOWN
from allie.core.plan import LOST, TAKE, Change
from allie.core.system import System
from allie.machine import atomic, clone, paths, room, tree


def name_of(real: str) -> str:
    """The name in pristine/ for a real path."""
    last = real.rpartition("/")[2].encode(errors="surrogateescape")[:100]
    mark = digest.of(real.encode(errors="surrogateescape"))[:16]
    return f"{mark}-{last.decode(errors='surrogateescape')}"


def take(here: System, changes: list[Change]) -> dict[str, str]:
    """Copy what stands at the paths taken over for the first time: real path → pristine.

    Never by a hard link to the live file. Durable when this returns. Raises StateError where there
    is no room, or the disk fails.
    """
    taken = {}
    copies = {}
    for change in changes:
        if change.pristine == TAKE and change.standing.content != NOTHING:
            taken[change.real] = name_of(change.real)
            copies[change.real] = change
        elif change.old:
            taken[change.real] = change.old.pristine
        else:
            taken[change.real] = UNKNOWN if change.pristine == LOST else NOTHING
    os.makedirs(here.pristine, 0o700, exist_ok=True)
    if copies:
        _copy(here, list(copies.values()))
    return taken


def _copy(here: System, changes: list[Change]) -> None:
    beside = f"{here.state}/pristine.part"
    tree.remove(beside)
    os.mkdir(beside, 0o700)
    names = [name for change in changes for name in _names(here, change)]
    size = sum(os.lstat(here.at(name)).st_size for name in names)
    room.need(here.state, size + 4096 * len(names), len(names))
    clones = clone.Clones()
    for change in changes:
        try:
            with paths.parent_descriptor(here.root, change.real) as (parent, name):
                copy = clones.whole if _is_whole(change) else clones.make
                copy(f"{paths.through(parent)}/{name}", f"{beside}/{name_of(change.real)}")
        except OSError as error:
            raise StateError(f"cannot keep what stands at /{change.real}: {error}") from error
    for change in changes:
        kept = name_of(change.real)
        tree.remove(f"{here.pristine}/{kept}")
        os.rename(f"{beside}/{kept}", f"{here.pristine}/{kept}")
    tree.remove(beside)
    atomic.sync_filesystem(here.pristine)


def _is_whole(change: Change) -> bool:
    """Whether a directory is to vanish with all that is in it."""
    is_directory = change.standing.content == DIRECTORY
    return bool(is_directory and change.entry and change.entry.flag == "absent")


def _names(here: System, change: Change) -> list[str]:
    """What is to be kept of a change: its path, and all that is in a directory kept whole."""
    below = tree.listing(here.at(change.real)) if _is_whole(change) else ()
    return [change.real, *(f"{change.real}/{name}" for name, _ in below)]
