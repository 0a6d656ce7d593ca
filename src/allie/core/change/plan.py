"""Plan: what must change in the root for it to match the resolution. Pure.

    Present (with its ledger)  →  Plan

A Plan is a value: `allie plan` prints it, `client.apply.changes` carries it out. The table is
tested row by row.

docs/internals/rules.md, "Two names may be one file", "A directory makes way only if all in it is
ours", "What vouches for a file", "Absent and once", "Directories that we made, and others" and
"Hard links go together"; docs/internals/packages.md.
"""

from __future__ import annotations

from _collections_abc import Iterable

from allie.core import forbidden_paths
from allie.core.change import staying
from allie.core.change.ledger import DIRECTORY, NOTHING, UNKNOWN, Placed, inode_of
from allie.core.change.present import Offer, Present, Standing
from allie.core.change.resolution import Entry, Problem
from allie.core.value import Value

# verbs
PLACE = "place"  # what the overlay offers is laid there
RESTORE = "restore"  # the pristine file is put back; the path leaves the ledger
REMOVE = "remove"  # what stands there goes
NOTE = "note"  # the root is right; only the ledger changes
FORGET = "forget"  # the root is left alone; the path leaves the ledger

# what happens to a path's pristine: what stood there before ALLiE
KEEP = "keep"
TAKE = "take"  # what stands there now becomes it
LOST = "lost"  # the ledger was lost: nobody knows what stood there


class Change(Value):
    """What a plan has for one path."""

    real: str
    verb: str
    why: str  # new changed drift missing superseded linked | absent | withdrawn left … | adopted …
    entry: Entry | None = None
    offer: Offer | None = None
    old: Placed | None = None
    standing: Standing = Standing()
    pristine: str = KEEP

    def to(self, verb: str, why: str, pristine: str = KEEP) -> Change:
        """The same path with a decision."""
        return self._replace(verb=verb, why=why, pristine=pristine)


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

    @property
    def visible(self) -> list[Change]:
        """The changes without those that only renew what the ledger has noted."""
        return [change for change in self.changes if change.why != "seen again"]

    def of(self, *verbs: str) -> list[Change]:
        """The changes with one of these verbs."""
        return [change for change in self.changes if change.verb in verbs]


def plan(present: Present) -> Plan:
    """Decide, for every path of this part that is not vouched for, what is to happen."""
    problems = list(present.problems)
    changes: dict[str, Change] = {}
    for real in present.mine:
        if real not in present.vouched:
            outcome = _for_claim(real, present)
            if isinstance(outcome, Problem):
                problems.append(outcome)
            elif outcome:
                changes[real] = outcome
    _join_groups(present, changes, {problem.path for problem in problems})
    withdrawn = _withdrawals(present)
    going = {real: each.old for real, each in withdrawn.items() if each.old}
    stays, told = staying.kept_back(going, present)
    going = {real: old for real, old in going.items() if real not in stays}
    lost = {real for real, each in withdrawn.items() if each.why == "withdrawn"}
    kept, many = staying.guarded(going, lost, present)
    problems += [*told, *many]
    changes.update({real: withdrawn[real] for real in going if real not in kept})
    _clear_the_way(present, changes, problems)
    ordered = tuple(changes[real] for real in sorted(changes))
    guarded = tuple(sorted({*kept.values()}))
    return Plan(present.part, present.generation, ordered, tuple(problems), guarded)


def _for_claim(real: str, present: Present) -> Change | Problem | None:
    """One path that the overlays want."""
    entry = present.claims[real]
    refusal = forbidden_paths.refusal(real)
    if refusal:
        return Problem(real, refusal)
    old, standing = present.ledger.entries.get(real), present.standing[real]
    case = Change(real, NOTE, "", entry, None, old, standing)  # the functions say verb and why
    if entry.flag == "absent":
        return _for_absent(case, present.ledger.entries)
    case = case._replace(offer=present.offers[real])
    if entry.flag == "once":
        return _for_once(case)
    if present.offers[real].content == DIRECTORY:
        return _for_directory(case)
    return _for_file(case, lost=present.ledger.is_lost_for(present.part))


def _for_absent(case: Change, placed: Iterable[str]) -> Change | Problem | None:
    real, old, standing = case.real, case.old, case.standing
    again = old is not None and old.content == NOTHING
    if standing.content == NOTHING:
        return None if again else case.to(NOTE, "absent")
    if forbidden_paths.is_vital(real):
        return Problem(real, forbidden_paths.NOT_ABSENT)
    if standing.blocked:
        return Problem(real, f"cannot be made absent: {standing.blocked}")
    if standing.content == DIRECTORY and any(each.startswith(real + "/") for each in placed):
        return None  # what we placed in it goes first; then, at the next tick, what is left
    if again and standing.packaged:
        return case.to(REMOVE, "superseded", TAKE)
    return case.to(REMOVE, "drift" if again else "absent", _pristine(old))


def _for_once(case: Change) -> Change | None:
    if case.standing.content == NOTHING:
        return case.to(PLACE, _cause(case))
    if case.old and case.old.flag != "once":
        return case.to(NOTE, "once")._replace(offer=None)
    return None


def _for_directory(case: Change) -> Change | None:
    """A directory that ALLiE did not make keeps its own mode and owner."""
    old, standing, offer = case.old, case.standing, case.offer
    if standing.content != DIRECTORY:
        return case.to(PLACE, _cause(case), _pristine(old))
    if old is None:
        return None
    if old.content != DIRECTORY:
        return case.to(FORGET, "left: it is a directory now")
    if offer and standing.attrs == offer.attrs:
        return case.to(NOTE, "seen again")
    if standing.foreign:
        return case.to(FORGET, "left: it is another directory now")
    return case.to(PLACE, _cause(case))


def _for_file(case: Change, *, lost: bool) -> Change | Problem | None:
    old, standing, offer = case.old, case.standing, case.offer
    if standing.content == NOTHING:
        return case.to(PLACE, _cause(case))
    if standing.content == DIRECTORY:
        if standing.blocked:
            return Problem(case.real, f"a directory stands there: {standing.blocked}")
        return case.to(PLACE, _cause(case), _pristine(old))
    if offer and (standing.content, standing.attrs) == (offer.content, offer.attrs):
        if old:
            return case.to(NOTE, "seen again")
        return case.to(NOTE, "adopted", LOST if lost else TAKE)
    if old is None:
        return case.to(PLACE, _cause(case), TAKE)
    if standing.packaged:
        return case.to(PLACE, "superseded", TAKE)
    return case.to(PLACE, _cause(case))


def _cause(case: Change) -> str:
    """Why a path is placed: new to us, changed in the store, or by somebody here."""
    old, standing = case.old, case.standing
    if old is None:
        return "new"
    if (standing.content, standing.attrs) == (old.content, old.attrs):
        return "changed"
    return "missing" if standing.content == NOTHING else "drift"


def _pristine(old: Placed | None) -> str:
    return KEEP if old else TAKE


def _join_groups(present: Present, changes: dict[str, Change], refused: set[str]) -> None:
    """Place hard links together: one that is placed alone would lose its link."""
    for links in present.groups:
        group = [real for real in links if real not in refused]
        inodes = {inode_of(_standing(real, present).seen) for real in group}
        placing = any(real in changes and changes[real].verb == PLACE for real in group)
        if len(inodes) == 1 and not placing:
            continue
        for real in group:
            entry, offer = present.claims[real], present.offers[real]
            old, standing = present.ledger.entries.get(real), _standing(real, present)
            case = changes.get(real) or Change(real, NOTE, "", entry, offer, old, standing)
            if case.verb != PLACE:
                changes[real] = case._replace(verb=PLACE, why="linked", offer=offer)


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
        if real not in present.left_alone:
            changes[real] = _withdraw(real, present.today.get(real, old), present.standing[real])
    for real, tombstone in present.ledger.tombstones.items():
        standing = present.standing.get(real)
        wanted = real in present.claims or real in present.left_alone
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
        # Carrying it out removes an empty one, and leaves another.
        verb, why = REMOVE, "withdrawn"
        if old.pristine != NOTHING:  # it took the place of a file
            verb = FORGET if standing.blocked else RESTORE
            why = f"left: {standing.blocked}" if standing.blocked else why
    elif ours or missing:
        why = "withdrawn"
        verb = RESTORE if old.pristine != NOTHING else FORGET if missing else REMOVE
    return Change(real, verb, why, None, None, old, standing)


def _clear_the_way(present: Present, changes: dict[str, Change], problems: list[Problem]) -> None:
    """Where a file takes a directory's place, have all of ours below go, or refuse the file."""
    ledger = present.ledger.entries
    for change in [each for each in changes.values() if _replaces_directory(each)]:
        below = {real: old for real, old in ledger.items() if real.startswith(change.real + "/")}
        known = present.standing.keys() - present.left_alone
        unseen = [real for real in below if real not in known]
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
