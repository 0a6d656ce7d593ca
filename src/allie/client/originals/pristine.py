"""Pristine files: what stood at a path before ALLiE first placed something there.

They lie flat in pristine/, under a digest of the path and its last name, since what is a file today
may have been a directory once.
"""

from __future__ import annotations

import os
import stat

from allie.client.originals.undo_copies import only_roots, size_of
from allie.core.change.ledger import DIRECTORY, NOTHING, UNKNOWN, pristine_name
from allie.core.change.plan import LOST, TAKE, Change
from allie.core.errors import PathRefused, words_of
from allie.core.system import System
from allie.core.value import Value
from allie.machine.files import atomic, free_space, tree
from allie.machine.roots import clone
from allie.machine.roots.reach import Reach


class _Copy(Value):
    """What is to be kept: `source`, a real path, under a name in pristine/ for `real`."""

    real: str
    source: str
    name: str
    whole: bool = False  # a directory, with all that is in it
    like: str = ""  # a name in pristine/ whose owner, mode and attributes it gets


def copy(here: System, changes: list[Change]) -> tuple[dict[str, str], dict[str, str]]:
    """Copy what stands at the paths taken over for the first time.

    Returns (real path → pristine, real path → why it could not be kept, so that nothing may take
    its place). Never by a hard link to the live file. Durable when this returns. Raises StateError
    where the disk of the state fails.
    """
    taken = {}
    copies = []
    packaged = _of_packages(here, changes)
    for change in changes:
        if change.pristine == TAKE and change.standing.content != NOTHING:
            name = taken[change.real] = pristine_name(change.real, packaged=change.real in packaged)
            copies.append(_Copy(change.real, change.real, name, _is_whole(change), _like(change)))
        elif change.old:
            taken[change.real] = change.old.pristine
        else:
            taken[change.real] = UNKNOWN if change.pristine == LOST else NOTHING
    os.makedirs(here.pristine, 0o700, exist_ok=True)
    return taken, _copy_all(here, copies) if copies else {}


def renew(here: System, changes: list[Change], renewals: dict[str, str]) -> dict[str, str]:
    """Copy what packages have by now at paths where that is to come back; why it could not be.

    renewals: by real path, where the package has put it. It gets owner and mode of what was kept.
    """
    copies = [
        _Copy(change.real, renewals[change.real], change.old.pristine, like=change.old.pristine)
        for change in changes
        if change.old and change.real in renewals
    ]
    return _copy_all(here, copies) if copies else {}


def _of_packages(here: System, changes: list[Change]) -> set[str]:
    """The paths at which stands, unchanged, what a package has put there."""
    takes = [each for each in changes if each.pristine == TAKE]
    reals = [each.real for each in takes if each.standing.content[:2] in ("f:", "l:")]
    if not reals:
        return set()
    from allie.client.originals import packages  # noqa: PLC0415 - see HACKING.md, start-up

    with Reach(here.root) as reach:
        return packages.all_installed(here, reach, reals)


def _like(change: Change) -> str:
    """The name in pristine/ that has owner and mode: dpkg gives a new conffile those of ours."""
    old = change.old
    ours = old is not None and change.standing.attrs == old.attrs
    return old.pristine if ours and old and old.pristine not in (NOTHING, UNKNOWN) else ""


def _copy_all(here: System, copies: list[_Copy]) -> dict[str, str]:
    """Copy all that can be; why the others could not."""
    beside = f"{here.state}/pristine.part"
    tree.remove(beside)
    os.mkdir(beside, 0o700)
    clones = clone.Clones()
    allowance = free_space.Allowance(here.state)
    problems = {}
    with Reach(here.root) as reach:
        for each in copies:
            kept = f"{beside}/{each.name}"
            try:
                _copy_one(reach, each, kept, clones, allowance)
                _describe(each, here, kept)
            except (OSError, PathRefused) as error:
                tree.remove(kept)
                problems[each.real] = f"what stands there cannot be kept: {words_of(error)}"
    for each in copies:
        if each.real not in problems:
            tree.remove(f"{here.pristine}/{each.name}")
            os.rename(f"{beside}/{each.name}", f"{here.pristine}/{each.name}")
    tree.remove(beside)
    atomic.sync_filesystem(here.pristine)
    return problems


def _describe(copy: _Copy, here: System, kept: str) -> None:
    like = f"{here.pristine}/{copy.like}"
    both = copy.like and os.path.lexists(like)
    if both and stat.S_IFMT(os.lstat(like).st_mode) == stat.S_IFMT(os.lstat(kept).st_mode):
        clone.describe_as(like, kept, times=False)


def _copy_one(
    reach: Reach, copy: _Copy, kept: str, clones: clone.Clones, allowance: free_space.Allowance
) -> None:
    """Copy what stands at one path. Raises PathRefused where it is too large, else OSError."""
    st = reach.status(copy.source)
    if st is None:
        raise PathRefused("it has just gone")
    tainted = reach.is_below_taint(copy.source)
    path = reach.path(copy.source)
    found = [st]
    if copy.whole:
        found += [each for _, each in tree.survey(path)]
    ours = not tainted and st.st_uid == 0 and only_roots(found)
    size = sum(size_of(each, ours=ours) for each in found)
    allowance.spend(size, True, ours=ours, names=len(found))
    if copy.whole:
        clones.whole(path, kept, most=size)
    else:
        clones.make(path, kept, most=size)


def _is_whole(change: Change) -> bool:
    """Whether a directory is to vanish with all that is in it."""
    is_directory = change.standing.content == DIRECTORY
    return bool(is_directory and change.entry and change.entry.flag == "absent")
