"""How long each PC is usually silent: a laptop that is away each weekend is not missed on Sunday.

    STORE/fleet/rhythm    {"pc07": [[when the silence ended, how long it was], …], …}; seconds

`server.history` notes there each silence that was longer than a report is usually apart; who judges
reads it. What cannot be read is as if nothing was known: then everybody is missed equally soon.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from allie.core.errors import StateError, TooLarge
from allie.machine.files import atomic

NAME = "fleet/rhythm"
MOST, SPAN = 16, 90 * 86400  # silences of a host that are kept; seconds for which they count
_TWICE = 2  # what happened once is no habit
_LONGEST = 60 * 86400  # seconds: longer, and it was a clock


def read(store: str, now: float) -> dict[str, float]:
    """The longest silence that is usual for a host, in seconds; hosts without one are not in it.

    Usual is what happened twice in 90 days.
    """
    try:
        silences = {host: usual(each, now) for host, each in kept(store).items()}
    except StateError:
        return {}
    return {host: seconds for host, seconds in silences.items() if seconds}


def usual(silences: Iterable[tuple[float, float]], now: float) -> float:
    """The longest silence that was there twice; 0 if none was.

    >>> usual([(10.0, 500.0), (20.0, 700.0), (30.0, 600.0)], 40.0)
    600.0
    """
    late = sorted(length for ended, length in silences if 0 <= now - ended < SPAN)
    return late[-_TWICE] if len(late) >= _TWICE else 0.0


def kept(store: str) -> dict[str, list[tuple[float, float]]]:
    """What is kept of each host: when a silence ended, and how long it was; the oldest first.

    Nothing where it is damaged. Raises StateError where the disk does not say: it is not lost.
    """
    try:
        value = json.loads(atomic.read(f"{store}/{NAME}") or "{}")
        return {
            host: [(float(at), float(long)) for at, long in each] for host, each in value.items()
        }
    except (TooLarge, AttributeError, TypeError, ValueError, RecursionError):
        return {}


def add(store: str, ended: Mapping[str, tuple[float, float]]) -> None:
    """Keep one more silence of each of these hosts; one that is kept already is not kept twice.

    Raises StateError where the disk does not take it, or what is there cannot be read.
    """
    found = kept(store)
    fresh = {host: each for host, each in ended.items() if 0 < each[1] < _LONGEST}
    new = {host: each for host, each in fresh.items() if each not in found.get(host, ())}
    for host, each in new.items():
        found[host] = [*found.get(host, ()), each][-MOST:]
    if new:
        atomic.write(f"{store}/{NAME}", json.dumps(found), 0o600)
