"""Pristine files: what stood at a path before ALLiE first placed something there.

They lie flat in pristine/, under a digest of the path and its last name, since what is a file today
may have been a directory once.
"""

from __future__ import annotations

import os

from allie.core import digest
from allie.core.ledger import DIRECTORY, NOTHING, UNKNOWN
from allie.core.plan import LOST, TAKE, Change
from allie.core.system import System
from allie.machine import atomic, process, room, rsync, tree


def name_of(real: str) -> str:
    """The name in pristine/ for a real path."""
    last = real.rpartition("/")[2].encode(errors="surrogateescape")[:100]
    mark = digest.of(real.encode(errors="surrogateescape"))[:16]
    return f"{mark}-{last.decode(errors='surrogateescape')}"


def take(here: System, changes: list[Change]) -> dict[str, str]:
    """Copy what stands at the paths taken over for the first time: real path → pristine.

    By rsync: owners, ACLs, attributes, capabilities and holes arrive whole, and never a hard link
    to the live file. Durable when this returns. Raises StateError where there is no room.
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
    able = rsync.version(f"{here.state}/rsync")
    argv = rsync.copy_out(able, here.root, beside)
    process.run(argv, stdin=rsync.names(names), check=True)
    for change in changes:
        target = f"{here.pristine}/{name_of(change.real)}"
        tree.remove(target)
        os.rename(f"{beside}/{change.real}", target)
    tree.remove(beside)
    atomic.sync_filesystem(here.pristine)


def _names(here: System, change: Change) -> list[str]:
    """A path, and for a directory that is to vanish as a whole, all that is in it."""
    names = [change.real]
    if change.standing.content == DIRECTORY and change.entry and change.entry.flag == "absent":
        below = tree.listing(here.at(change.real))
        names += [f"{change.real}/{name}" for name, _ in below]
    return names
