"""Which of several stores did not answer, or lag behind: they are asked last, for an hour.

A server that is switched off costs whoever asks it seconds, at each tick. So a PC goes on with its
next store, and asks its first one again after an hour, when all others fail, or when a person wants
a fetch. For a PC with one store there is nothing to choose, and nothing is noted.

docs/internals/rules.md, "A server that is away costs seconds".
"""

from __future__ import annotations

import os

from allie.core.errors import StateError
from allie.core.lean import dumps, loads, suppress
from allie.core.system import System
from allie.core.value import Value
from allie.machine.files import atomic

AGAIN = 3600.0  # seconds


class AwayStore(Value):
    """One that did not answer when it was asked."""

    since: float  # seconds since the epoch
    asked: float  # for the last time

    def is_due(self, now: float) -> bool:
        """Whether it is to be asked again in its turn. abs: clocks jump."""
        return abs(now - self.asked) >= AGAIN


def read(here: System) -> dict[str, AwayStore]:
    """Those that were away when they were asked last."""
    try:
        value = loads(atomic.read(_path(here)) or "{}")
        return {str(store): AwayStore(*map(float, times)) for store, times in value.items()}
    except (ValueError, TypeError, AttributeError):
        return {}  # damaged: all are asked in their turn


def note(here: System, store: str, now: float, *, is_away: bool) -> None:
    """Note whether a store answered; where that cannot be noted, it is asked in its turn."""
    before = read(here)
    after = {each: known for each, known in before.items() if each != store}
    if is_away:
        after[store] = AwayStore(before[store].since if store in before else now, now)
    if after != before:
        with suppress(OSError, StateError):
            if after:
                atomic.write(_path(here), dumps(after), durable=False)
            else:
                os.unlink(_path(here))


def next_due(here: System) -> float:
    """When one of them is to be asked again; never: infinity."""
    return min((known.asked + AGAIN for known in read(here).values()), default=float("inf"))


def _path(here: System) -> str:
    return f"{here.state}/away"
