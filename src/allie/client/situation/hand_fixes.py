"""The hand fixes that this system offers: kept in its state, and how each of them stands.

A tick puts the store's file back, and so the fix goes from the root; what was offered is kept here
until it is withdrawn, or the store's file has become equal to it. Each is a file of `offers/`.

docs/internals/rules.md, "A hand fix is offered by hand".
"""

from __future__ import annotations

import os

from allie.client.mirror import generation as generations
from allie.client.situation import grounds
from allie.client.situation.grounds import Grounds
from allie.client.state import records
from allie.core import digest
from allie.core.change import hand_fix
from allie.core.change.hand_fix import HandFix
from allie.core.errors import AllieError, StateError
from allie.core.lean import dumps
from allie.core.system import System
from allie.core.value import Value
from allie.machine.files import atomic, tree

OFFERED, TAKEN, VOID = "offered", "taken", "void"


class Judged(Value):
    """A hand fix, and how it stands against what the store has now."""

    fix: HandFix
    state: str  # OFFERED; TAKEN: the store's file is equal to it; VOID: it is another one by now
    why: str = ""


def kept(here: System) -> list[HandFix]:
    """All that were offered here and not withdrawn, by path; a damaged one is none."""
    place = _place(here)
    found = []
    for name in sorted(tree.names(place)):
        try:
            found.append(hand_fix.from_json(records.read_json(f"{place}/{name}")))
        except (ValueError, StateError):
            continue
    return sorted(found, key=lambda each: each.path)[: hand_fix.MOST]


def judged(here: System) -> list[Judged]:
    """How each of them stands. Nothing is read where there is none, as on nearly every PC."""
    fixes = kept(here)
    if not fixes:
        return []
    try:
        known = grounds.gather(here)
    except AllieError as error:
        return [Judged(each, VOID, str(error)) for each in fixes]
    return [_judged(each, known) for each in fixes]


def keep(here: System, fix: HandFix) -> None:
    """Keep a fix, in place of an earlier one of its path; durable when this returns."""
    os.makedirs(_place(here), 0o700, exist_ok=True)
    atomic.write(_file(here, fix.path), dumps(hand_fix.to_json(fix)), 0o600)


def forget(here: System, path: str) -> bool:
    """Offer a path no more; whether it was."""
    return atomic.remove(_file(here, path))


def content_of(known: Grounds, source: str, most: int = hand_fix.LARGEST) -> bytes | None:
    """A regular file of the generation in force; None where it is none, or larger than `most`."""
    try:
        return atomic.read_bytes(f"{known.generation.path}/{source}", most)
    except StateError:
        return None


def _judged(fix: HandFix, known: Grounds) -> Judged:
    entry = generations.entry_of(known.generation, fix.path, known.facts)
    if entry is None or entry.is_dir or entry.flag == "absent":
        return Judged(fix, VOID, "no overlay has this file for this PC any more")
    if entry.source != fix.source:
        return Judged(fix, VOID, f"this PC has it from {entry.source} now")
    content = content_of(known, entry.source)
    if content == fix.content:
        return Judged(fix, TAKEN)
    if content is None or digest.of(content) != fix.base:
        return Judged(fix, VOID, f"{fix.source} was changed in the store since")
    return Judged(fix, OFFERED)


def _place(here: System) -> str:
    return f"{here.state}/offers"


def _file(here: System, path: str) -> str:
    return f"{_place(here)}/{digest.of(path.encode(errors='surrogateescape'))[:32]}"
