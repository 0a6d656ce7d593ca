"""When each report came, where its file no longer says so: in a store that was copied or restored.

    STORE/fleet/arrivals    {"pc07": ["which report", when it was first seen], …}; seconds

A file's ctime is when it came to stand there, by any hand. So a report that a look has seen before
came when it was first seen, whatever its file says since. Which report it is, its PC says: one that
says what it said before only seems silent. `server.history` keeps the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from allie.core.errors import StateError, TooLarge
from allie.machine.files import atomic
from allie.server.fleet.told import Told

NAME = "fleet/arrivals"
_LATER = 2 * 3600.0  # seconds: a clock that is put right by less does no harm
_Kept = Mapping[str, tuple[str, float]]


def read(store: str) -> _Kept:
    """What was kept; nothing where it cannot be read."""
    try:
        return _kept(store)
    except StateError:
        return {}


def _kept(store: str) -> _Kept:
    """The same. Raises StateError where the disk does not say: it is not lost."""
    try:
        value = json.loads(atomic.read(f"{store}/{NAME}") or "{}")
        return {host: (str(which), float(at)) for host, (which, at) in value.items()}
    except (TooLarge, AttributeError, TypeError, ValueError, RecursionError):
        return {}


def keep(store: str, told: Iterable[Told]) -> None:
    """Keep when these came. Raises StateError where the disk does not take it, or tell."""
    found = {each.host: (_which(each), each.arrived) for each in told if not each.flaw}
    if found != _kept(store):
        atomic.write(f"{store}/{NAME}", json.dumps(found), 0o600)


def is_later(at: float, now: float) -> bool:
    """Whether a file came at a time that is not yet: by a clock that is behind, or was ahead."""
    return at > now + _LATER


def first_seen(told: Told, known: tuple[str, float] | None) -> float:
    """When a report came. known: what was kept of its host."""
    if known and known[1] < told.arrived and known[0] == _which(told):
        return known[1]
    return told.arrived


def _which(told: Told) -> str:
    """What sets a report apart from others of its host: when it was sent, by the PC's own clock."""
    return f"{told.arrived + told.skew:.3f} {told.boot}"
