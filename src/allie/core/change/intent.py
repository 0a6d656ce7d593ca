"""The intent: what a transaction is about to do, written down before it does it.

A tick that was killed is finished, or taken back, from the intent that it left. The steps that came
true are what `undo` later takes back.

docs/internals/rules.md, "What stood there first is kept once".
"""

from __future__ import annotations

from allie.core.change import ledger as ledgers
from allie.core.change.ledger import DIRECTORY, NOTHING, Ledger, Placed, Tombstone
from allie.core.change.plan import FORGET, NOTE, PLACE, REMOVE, RESTORE, Change
from allie.core.lean import dumps, loads
from allie.core.value import TYPE_CHECKING, Value

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

State = tuple[str, str]  # content digest, attributes digest
NOTHING_THERE: State = (NOTHING, "")


class Step(Value):
    """One path's change: from `before` to `wanted`, in the ledger from `old` to `after`."""

    real: str
    verb: str
    why: str
    before: State
    wanted: State
    old: Placed | None
    after: Placed | None  # None: the path leaves the ledger
    tombstone: bool = False  # … and is withdrawn again should it come back


class Intent(Value):
    """One transaction."""

    tick: int
    part: str
    generation: int
    steps: tuple[Step, ...]
    undoes: int = 0  # the tick that this takes back, if it does


def step_of(change: Change, part: str, pristine: str) -> Step:
    """What a planned change means for root and ledger.

    pristine: what the ledger is to say of what stood there before us.
    """
    before = (change.standing.content, change.standing.attrs)
    old, offer, entry = change.old, change.offer, change.entry
    offered = (offer.content, offer.attrs) if offer else NOTHING_THERE
    if change.verb == FORGET:
        hidden = before == NOTHING_THERE and _hidden(old)
        return Step(change.real, change.verb, change.why, before, before, old, None, hidden)
    if entry is None:
        buried = _buried(change, offered)
        return Step(change.real, change.verb, change.why, before, offered, old, None, buried)
    wanted, source = offered, offer.source if offer else ""
    if change.verb == NOTE and entry.flag == "once" and old:
        wanted, source = (old.content, old.attrs), old.source
    # A file that becomes `once` may have been edited here: the ledger does not vouch for it then.
    seen = change.standing.seen if change.verb == NOTE and before == wanted else ""
    after = Placed(entry.overlay, entry.spelling, part, entry.flag, source, *wanted, seen, pristine)
    # A note leaves the root as it is, whatever the ledger says was placed there.
    stays = before if change.verb == NOTE else wanted
    return Step(change.real, change.verb, change.why, before, stays, old, after)


def _buried(change: Change, back: State) -> bool:
    """Whether a file of ours that goes is to be withdrawn again should it come back.

    Not where the same file comes in its place: the next tick would take that for ours.
    """
    old = change.old
    return bool(old and old.source and old.content[:2] == "f:" and old.content != back[0])


def _hidden(old: Placed | None) -> bool:
    """Whether what is withdrawn and not there is to be withdrawn again should it come back.

    It may only be hidden: something is mounted above it.
    """
    content = old.content if old and old.pristine == NOTHING else ""
    return content == DIRECTORY or content[:2] in ("f:", "l:")


def settle(
    ledger: Ledger, intent: Intent, steps: list[Step], now: float, marks: Mapping[str, str] = {}
) -> Ledger:
    """The ledger after these steps of a transaction were confirmed. marks: new ones."""
    entries, tombstones = dict(ledger.entries), dict(ledger.tombstones)
    for step in intent.steps:  # if a step did not come true, the next tick compares its path again
        if step.after and step.real in entries:
            entries[step.real] = entries[step.real]._replace(source="")
    for step in steps:
        tombstones.pop(step.real, None)
        if step.after:
            entries[step.real] = step.after
        else:
            entries.pop(step.real, None)
            if step.tombstone and step.old:
                tombstones[step.real] = Tombstone(step.old, now)
    limit = now - ledgers.TOMBSTONE_DAYS * 86400
    kept = {real: each for real, each in tombstones.items() if each.when > limit}
    generations = {**ledger.generations, intent.part: intent.generation}
    known = {**ledger.marks, **marks}
    known = {real: mark for real, mark in known.items() if mark and real in entries}
    return Ledger(entries, kept, generations, ledger.lost, known)


def writes(step: Step) -> bool:
    """Whether something is laid there."""
    return step.verb in (PLACE, RESTORE)


def moves_tree(step: Step) -> bool:
    """Whether a whole directory goes to undo as it stands: one that is made absent."""
    return step.verb == REMOVE and step.before[0] == DIRECTORY and step.after is not None


def encode(intent: Intent) -> str:
    """The intent as JSON text."""
    return dumps(intent._asdict(), separators=(",", ":"))


def decode(text: str) -> Intent:
    """Read what `encode` wrote. Raises ValueError for anything else."""
    try:
        value: dict[str, Any] = loads(text)
        steps = tuple(_step(row) for row in value["steps"])
        return Intent(**{**value, "steps": steps})
    except (KeyError, TypeError) as error:
        raise ValueError(f"not an intent: {error!r}") from error


def _step(row: list[Any]) -> Step:
    step = Step(*row)
    return step._replace(
        before=tuple(row[3]),
        wanted=tuple(row[4]),
        old=ledgers.placed(row[5]) if row[5] else None,
        after=ledgers.placed(row[6]) if row[6] else None,
    )
