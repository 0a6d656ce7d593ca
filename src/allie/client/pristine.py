"""Pristine files: what stood at a path before ALLiE first placed something there.

They lie flat in pristine/, under a digest of the path and its last name, since what is a file today
may have been a directory once.
"""

from __future__ import annotations

import os

from allie.client.backup import only_roots
from allie.core import digest
from allie.core.errors import PathRefused, words_of
from allie.core.ledger import DIRECTORY, NOTHING, UNKNOWN
from allie.core.plan import LOST, TAKE, Change
from allie.core.system import System
from allie.machine import atomic, clone, room, tree
from allie.machine.reach import Reach


def name_of(real: str) -> str:
    """The name in pristine/ for a real path."""
    last = real.rpartition("/")[2].encode(errors="surrogateescape")[:100]
    mark = digest.of(real.encode(errors="surrogateescape"))[:16]
    return f"{mark}-{last.decode(errors='surrogateescape')}"


def take(here: System, changes: list[Change]) -> tuple[dict[str, str], dict[str, str]]:
    """Copy what stands at the paths taken over for the first time.

    Returns (real path → pristine, real path → why it could not be kept, so that nothing may take
    its place). Never by a hard link to the live file. Durable when this returns. Raises StateError
    where the disk of the state fails.
    """
    taken = {}
    copies = []
    for change in changes:
        if change.pristine == TAKE and change.standing.content != NOTHING:
            taken[change.real] = name_of(change.real)
            copies.append(change)
        elif change.old:
            taken[change.real] = change.old.pristine
        else:
            taken[change.real] = UNKNOWN if change.pristine == LOST else NOTHING
    os.makedirs(here.pristine, 0o700, exist_ok=True)
    return taken, _copy(here, copies) if copies else {}


def _copy(here: System, changes: list[Change]) -> dict[str, str]:
    """Copy all that can be; why the others could not."""
    beside = f"{here.state}/pristine.part"
    tree.remove(beside)
    os.mkdir(beside, 0o700)
    clones = clone.Clones()
    allowance = room.Allowance(here.state)
    problems = {}
    with Reach(here.root) as reach:
        for change in changes:
            kept = f"{beside}/{name_of(change.real)}"
            try:
                _copy_one(reach, change, kept, clones, allowance)
            except (OSError, PathRefused) as error:
                tree.remove(kept)
                problems[change.real] = f"what stands there cannot be kept: {words_of(error)}"
    for change in changes:
        kept = name_of(change.real)
        if change.real not in problems:
            tree.remove(f"{here.pristine}/{kept}")
            os.rename(f"{beside}/{kept}", f"{here.pristine}/{kept}")
    tree.remove(beside)
    atomic.sync_filesystem(here.pristine)
    return problems


def _copy_one(
    reach: Reach, change: Change, kept: str, clones: clone.Clones, allowance: room.Allowance
) -> None:
    """Copy what stands at one path. Raises PathRefused where it is too large, else OSError."""
    st = reach.status(change.real)
    if st is None:
        raise PathRefused("it has just gone")
    tainted = reach.is_tainted(change.real.rpartition("/")[0])
    path = reach.path(change.real)
    found = [st]
    if _is_whole(change):
        found += [each for _, each in tree.survey(path)]
    ours = not tainted and st.st_uid == 0 and only_roots(found)
    size = sum(each.st_blocks * 512 for each in found)
    if not ours:
        size = sum(max(each.st_size, each.st_blocks * 512) for each in found)
    allowance.spend(size, True, ours=ours, names=len(found))
    if _is_whole(change):
        clones.whole(path, kept, most=size)
    else:
        clones.make(path, kept, most=size)


def _is_whole(change: Change) -> bool:
    """Whether a directory is to vanish with all that is in it."""
    is_directory = change.standing.content == DIRECTORY
    return bool(is_directory and change.entry and change.entry.flag == "absent")
