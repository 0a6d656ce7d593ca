"""Plan: what must change in the root for it to match the resolution. Pure.

    Present (with its ledger)  →  Plan

A Plan is a value: `allie plan` prints it, `client.apply.changes` carries it out. The table is
tested row by row.

docs/internals/rules.md, "Two names may be one file", "A directory makes way only if all in it is
ours", "What vouches for a file", "Absent and once", "Directories that we made, and others" and
"Hard links go together"; docs/internals/packages.md.
"""

from __future__ import annotations

from collections.abc import Iterable

from allie.core.change import staying
from allie.core.change.ledger import DIRECTORY, NOTHING, UNKNOWN, Placed, inode_of
from allie.core.change.present import Offer, Present, Standing
from allie.core.change.resolution import Entry, Problem
from allie.core.names import forbidden_paths
from allie.core.value import Value

# verbs
PLACE = "place"  # rsync puts the offer there
RESTORE = "restore"  # rsync puts the pristine file back; the entry goes
REMOVE = "remove"  # what stands there goes
NOTE = "note"  # the root is right; only the ledger changes
FORGET = "forget"  # the root is left alone; the entry goes

# what happens to the pristine file of a path
KEEP = "keep"
TAKE = "take"  # what stands there now becomes the pristine
LOST = "lost"  # the ledger was lost: nobody knows what stood there before us


class Change(Value):
    """One path's part of a plan."""

    real: str
    verb: str
    why: str  # new changed drift missing superseded linked | absent | withdrawn left … | adopted …
    entry: Entry | None = None
    offer: Offer | None = None
    old: Placed | None = None
    standing: Standing = Standing()
    pristine: str = KEEP


class Plan(Value):
    """What one part would do now."""

    part: str
    generation: int
    changes: tuple[Change, ...]  # parents before children
    problems: tuple[Problem, ...]
    guarded: tuple[str, ...] = ()  # overlays without consent, whose files would go: too many

    @property
    def is_nothing(self) -> bool:
        """Whether neither the root nor the ledger would change."""
        return not self.changes

    def of(self, *verbs: str) -> list[Change]:
        """The changes with one of these verbs."""
        return [change for change in self.changes if change.verb in verbs]


def plan(present: Present) -> Plan:
    """Decide, for every path of this part that is not vouched for, what is to happen."""
    problems = list(present.problems)
    changes: dict[str, Change] = {}
    for real in present.mine:
        if real not in present.vouched:
            _add(_for_claim(real, present), changes, problems)
    _join_groups(present, changes, {problem.path for problem in problems})
    withdrawn = _withdrawals(present)
    going = {real: each.old for real, each in withdrawn.items() if each.old}
    stays, told = staying.held_back(going, present)
    going = {real: old for real, old in going.items() if real not in stays}
    lost = {real for real, each in withdrawn.items() if each.why == "withdrawn"}
    held, many = staying.guarded(going, lost, present)
    problems += [*told, *many]
    changes.update({real: withdrawn[real] for real in going if real not in held})
    _clear_the_way(present, changes, problems)
    ordered = tuple(changes[real] for real in sorted(changes))
    guarded = tuple(sorted({*held.values()}))
    return Plan(present.part, present.generation, ordered, tuple(problems), guarded)


def _add(
    outcome: Change | Problem | None, changes: dict[str, Change], problems: list[Problem]
) -> None:
    if isinstance(outcome, Problem):
        problems.append(outcome)
    elif outcome:
        changes[outcome.real] = outcome


def _for_claim(real: str, present: Present) -> Change | Problem | None:
    """One path that the overlays want."""
    entry = present.claims[real]
    old = present.ledger.entries.get(real)
    standing = present.standing[real]
    refusal = forbidden_paths.refusal(real)
    if refusal:
        return Problem(real, refusal)
    if entry.flag == "absent":
        return _for_absent(real, entry, old, standing, present.ledger.entries)
    offer = present.offers[real]
    if entry.flag == "once":
        return _for_once(real, entry, offer, old, standing)
    if offer.content == DIRECTORY:
        return _for_directory(real, entry, offer, old, standing)
    lost = present.ledger.is_lost_for(present.part)
    return _for_file(real, entry, offer, old, standing, lost)


def _for_absent(
    real: str, entry: Entry, old: Placed | None, standing: Standing, placed: Iterable[str]
) -> Change | Problem | None:
    if standing.content == NOTHING:
        if old and old.content == NOTHING:
            return None
        return Change(real, NOTE, "absent", entry, None, old, standing)
    if forbidden_paths.is_vital(real):
        return Problem(real, "holds what ALLiE itself needs; it cannot be made absent")
    if standing.blocked:
        return Problem(real, f"cannot be made absent: {standing.blocked}")
    if standing.content == DIRECTORY and any(each.startswith(real + "/") for each in placed):
        return None  # what we placed in it goes first; then, at the next tick, what is left
    again = old is not None and old.content == NOTHING
    if again and standing.packaged:
        return Change(real, REMOVE, "superseded", entry, None, old, standing, TAKE)
    why = "drift" if again else "absent"
    return Change(real, REMOVE, why, entry, None, old, standing, _pristine(old))


def _for_once(
    real: str, entry: Entry, offer: Offer, old: Placed | None, standing: Standing
) -> Change | None:
    if standing.content == NOTHING:
        return Change(real, PLACE, _cause(old, standing), entry, offer, old, standing)
    if old and old.flag != "once":
        return Change(real, NOTE, "once", entry, None, old, standing)
    return None


def _for_directory(
    real: str, entry: Entry, offer: Offer, old: Placed | None, standing: Standing
) -> Change | None:
    """A directory that ALLiE did not make keeps its own mode and owner."""
    if standing.content != DIRECTORY:
        why = _cause(old, standing)
        return Change(real, PLACE, why, entry, offer, old, standing, _pristine(old))
    if old is None:
        return None
    if old.content != DIRECTORY:
        return Change(real, FORGET, "left: it is a directory now", entry, None, old, standing)
    if standing.attrs == offer.attrs:
        return Change(real, NOTE, "seen again", entry, offer, old, standing)
    if standing.foreign:
        return Change(real, FORGET, "left: it is another directory now", entry, None, old, standing)
    return Change(real, PLACE, _cause(old, standing), entry, offer, old, standing)


def _for_file(
    real: str, entry: Entry, offer: Offer, old: Placed | None, standing: Standing, lost: bool
) -> Change | Problem | None:
    why = _cause(old, standing)
    if standing.content == NOTHING:
        return Change(real, PLACE, why, entry, offer, old, standing)
    if standing.content == DIRECTORY:
        if standing.blocked:
            return Problem(real, f"a directory stands there: {standing.blocked}")
        return Change(real, PLACE, why, entry, offer, old, standing, _pristine(old))
    what_stands = (standing.content, standing.attrs)
    if what_stands == (offer.content, offer.attrs):
        if old:
            return Change(real, NOTE, "seen again", entry, offer, old, standing)
        return Change(real, NOTE, "adopted", entry, offer, old, standing, LOST if lost else TAKE)
    if old is None:
        return Change(real, PLACE, why, entry, offer, old, standing, TAKE)
    if standing.packaged:
        return Change(real, PLACE, "superseded", entry, offer, old, standing, TAKE)
    return Change(real, PLACE, why, entry, offer, old, standing)


def _cause(old: Placed | None, standing: Standing) -> str:
    """Why a path is placed: new to us, changed in the store, or by somebody here."""
    if old is None:
        return "new"
    if (standing.content, standing.attrs) == (old.content, old.attrs):
        return "changed"
    return "missing" if standing.content == NOTHING else "drift"


def _pristine(old: Placed | None) -> str:
    return KEEP if old else TAKE


def _join_groups(present: Present, changes: dict[str, Change], refused: set[str]) -> None:
    """Hard links are placed together, or their link would be lost."""
    for links in present.groups:
        group = [real for real in links if real not in refused]
        inodes = {inode_of(_standing(real, present).seen) for real in group}
        placing = any(real in changes and changes[real].verb == PLACE for real in group)
        if len(inodes) == 1 and not placing:
            continue
        for real in group:
            change = changes.get(real)
            if change and change.verb == PLACE:
                continue
            old = present.ledger.entries.get(real)
            pristine = change.pristine if change else KEEP
            standing = _standing(real, present)
            offer, entry = present.offers[real], present.claims[real]
            changes[real] = Change(real, PLACE, "linked", entry, offer, old, standing, pristine)


def _standing(real: str, present: Present) -> Standing:
    """What stands at a path now: as looked at, or as the ledger vouches."""
    old = present.ledger.entries.get(real)
    looked_at = present.standing.get(real)
    return looked_at or (Standing(old.content, old.attrs, old.seen) if old else Standing())


def _withdrawals(present: Present) -> dict[str, Change]:
    """The paths of this part that no overlay has any more, and withdrawn ones that came back."""
    changes = {}
    gone = staying.unclaimed(present.part, present.ledger.entries, present.claims)
    for real, old in gone.items():
        if real not in present.held:
            changes[real] = _withdraw(real, present.today.get(real, old), present.standing[real])
    for real, tombstone in present.ledger.tombstones.items():
        standing = present.standing.get(real)
        wanted = real in present.claims or real in present.held
        if tombstone.placed.part == present.part and standing and not wanted:
            change = _withdraw(real, tombstone.placed, standing)
            if change.verb in (REMOVE, RESTORE):
                changes[real] = change._replace(why="came back")
    return changes


def _withdraw(real: str, old: Placed, standing: Standing) -> Change:
    ours = (standing.content, standing.attrs) == (old.content, old.attrs)
    missing = standing.content == NOTHING
    verb, why = FORGET, "left: edited here"
    if standing.astray:
        why = f"left: {standing.astray}"
    elif standing.foreign:
        why = "left: it is another directory now"
    elif old.pristine == UNKNOWN:
        why = "left: nobody knows what stood there before"
    elif old.content == DIRECTORY and standing.content == DIRECTORY:
        # Only an empty one goes.
        verb, why = REMOVE, "withdrawn"
        if old.pristine != NOTHING:  # it took the place of a file
            verb = FORGET if standing.blocked else RESTORE
            why = f"left: {standing.blocked}" if standing.blocked else why
    elif ours or missing:
        nothing_back = old.pristine == NOTHING
        verb = RESTORE if not nothing_back else FORGET if missing else REMOVE
        why = "withdrawn"
    return Change(real, verb, why, None, None, old, standing)


def _clear_the_way(present: Present, changes: dict[str, Change], problems: list[Problem]) -> None:
    """A file takes a directory's place: all below must go first, or the file stays away."""
    ledger = present.ledger.entries
    for change in [each for each in changes.values() if _replaces_directory(each)]:
        below = {real: old for real, old in ledger.items() if real.startswith(change.real + "/")}
        unseen = [real for real in below if real in present.held or real not in present.standing]
        going = {
            real: _withdraw(real, old, present.standing[real])
            for real, old in below.items()
            if not unseen
        }
        stuck = [real for real, each in going.items() if each.verb != REMOVE and not _gone(each)]
        stuck += unseen
        if stuck:
            del changes[change.real]
            problems.append(Problem(change.real, f"a directory stands there: keeps {stuck[0]}"))
        else:
            changes.update(going)


def _replaces_directory(change: Change) -> bool:
    becomes_file = change.verb == PLACE and change.offer and change.offer.content != DIRECTORY
    becomes_file = becomes_file or change.verb == RESTORE
    return bool(becomes_file and change.standing.content == DIRECTORY)


def _gone(change: Change) -> bool:
    return change.verb == FORGET and change.standing.content == NOTHING
