"""The fleet's log: what changed where, and when; and how many PCs stood how.

STORE/fleet/log/2026-11-29     one JSON value a line: an Event
STORE/fleet/counts             one JSON value a line: a Count, the newest last
STORE/fleet/known              what the last look found, to compare with
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from allie.core.value import Value
from allie.server.fleet.fleet import Fleet


class Event(Value):
    """Something that became otherwise on one PC."""

    at: float  # seconds since the epoch, of the server's clock
    host: str
    system: str  # "": of the whole PC
    kind: str  # state, change, drift, script, problem, boot or version
    what: str  # one line, in words: `current → failing: 20packages exit 1`
    paths: tuple[str, ...] = ()


class Count(Value):
    """How the fleet stood at a time."""

    at: float
    states: Mapping[str, int]  # PCs by state
    reports: int  # that arrived in the hour before
    reached: Mapping[str, int] = {}  # overlay → PCs that have its last change


def note(fleet: Fleet) -> list[Event]:
    """Compare with what was known, and keep what is new; the new events. Bounded, pruned by age."""
    raise NotImplementedError


def events(store: str, *, about: str = "", since: float = 0.0) -> Iterator[Event]:
    """What was kept, newest first. about: a host, a host set, or a path that begins with /."""
    raise NotImplementedError


def counts(store: str, *, since: float = 0.0) -> list[Count]:
    """How the fleet stood, oldest first."""
    raise NotImplementedError
