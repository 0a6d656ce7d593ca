"""Which of several stores did not answer, or lag behind: they are asked last, for an hour.

A server that is switched off costs whoever asks it seconds, at each tick. So a PC goes on with its
next store, and asks its first one again after an hour, when all others fail, or when a person wants
a fetch. For a PC with one store there is nothing to choose, and nothing is noted.

docs/internals/rules.md, "A server that is away costs seconds".
"""

from __future__ import annotations

import os
from _collections_abc import Sequence

from allie.core.errors import StateError
from allie.core.lean import dumps, loads, suppress
from allie.core.system import System
from allie.core.value import Value
from allie.machine.files import atomic

AGAIN = 3600.0  # seconds
_NEVER = float("inf")


class AwayStore(Value):
    """One that did not answer when it was asked."""

    since: float  # seconds since the epoch
    asked: float  # for the last time

    def is_due(self, now: float) -> bool:
        """Whether it is to be asked again in its turn. abs: clocks jump."""
        return abs(now - self.asked) >= AGAIN


def read(here: System, order: Sequence[str]) -> dict[str, AwayStore]:
    """Those that were away when they were asked last; order: all stores, as this host tries them.

    Of one that is named no more nothing is known.
    """
    if len(order) < 2:
        return {}
    try:
        value = loads(atomic.read_note(_path(here)) or "{}")
        found = {str(store): AwayStore(*map(float, times)) for store, times in value.items()}
        return {store: known for store, known in found.items() if store in order}
    except (ValueError, TypeError, AttributeError):
        return {}  # damaged: all are asked in their turn


def in_turn(here: System, order: Sequence[str], now: float) -> list[str]:
    """The stores in the order in which they are asked now."""
    late = {store for store, known in read(here, order).items() if not known.is_due(now)}
    return sorted(order, key=lambda store: store in late)


def failed(here: System, order: Sequence[str], store: str, now: float) -> None:
    """Note that a store is away."""
    before = read(here, order)
    since = before[store].since if store in before else now
    if len(order) > 1:
        _write(here, {**before, store: AwayStore(since, now)})


def answered(here: System, order: Sequence[str], store: str, now: float) -> None:
    """Note that a store answered. One that comes after it, and was not asked for an hour, may be
    back by now, and nobody will ask: it is forgotten.
    """
    before = read(here, order)
    place = order.index(store)
    after = {
        each: known
        for each, known in before.items()
        if each != store and (order.index(each) < place or not known.is_due(now))
    }
    if after != before:
        _write(here, after)


def next_due(here: System, order: Sequence[str], asked: str) -> float:
    """When one that would come before the one that is asked is asked again; never: infinity."""
    before = order[: order.index(asked)]
    known = read(here, order)
    return min((known[store].asked + AGAIN for store in before if store in known), default=_NEVER)


def _write(here: System, known: dict[str, AwayStore]) -> None:
    """Where that cannot be, each is asked in its turn."""
    with suppress(OSError, StateError):
        if known:
            atomic.write(_path(here), dumps(known), durable=False)
        else:
            os.unlink(_path(here))


def _path(here: System) -> str:
    return f"{here.state}/away"
