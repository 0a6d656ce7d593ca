"""Equal events of many PCs as one: a change that reached 38 of them within the hour is one line.

Events, newest first  →  Folded, newest first
"""

from __future__ import annotations

from collections.abc import Iterable

from allie.core.value import Value
from allie.server.fleet.host_sets import fold
from allie.server.history.compare import Event

_APART = 65 * 60  # seconds between two of them, at most: PCs tick each hour
_LONGEST = 86400  # … and between the first and the last


class Folded(Value):
    """The same that became so on some PCs, one soon after the other."""

    first: float  # seconds since the epoch
    last: float
    hosts: str  # a host set; "" of the log itself
    number: int  # of hosts
    system: str
    kind: str
    what: str


_What = tuple[str, str, str, tuple[str, ...]]


class _Open(Value):
    """One that may get more hosts yet."""

    last: float
    events: list[Event]
    hosts: set[str]


def plainly(lines: Iterable[Folded]) -> list[Folded]:
    """Without what the line of a state says as well: which script fails that did not."""
    found = list(lines)
    states = {(each.hosts, each.last): each.what for each in found if each.kind == "state"}
    return [
        each
        for each in found
        if each.kind not in ("script", "problem")
        or f"{each.what.partition(' ')[0]} " not in states.get((each.hosts, each.last), "")
    ]


def folded(events: Iterable[Event]) -> list[Folded]:
    """The same events with equal ones together."""
    groups: list[_Open] = []
    latest: dict[_What, _Open] = {}
    for event in events:
        what = (event.system, event.kind, event.what, event.paths)
        group = latest.get(what)
        if group is None or not _belongs(event, group):
            group = latest[what] = _Open(event.at, [], set())
            groups.append(group)
        group.events.append(event)
        group.hosts.add(event.host)
    return [_folded(each) for each in groups]


def _belongs(event: Event, group: _Open) -> bool:
    if event.kind == "state" and event.host in group.hosts:
        return False  # it stood otherwise in between
    return group.events[-1].at - event.at <= _APART and group.last - event.at <= _LONGEST


def _folded(group: _Open) -> Folded:
    one = group.events[0]
    hosts = group.hosts - {""}
    told = one.system, one.kind, one.what
    return Folded(group.events[-1].at, group.last, fold(hosts), len(hosts), *told)
