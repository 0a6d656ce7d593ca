"""The whole fleet as one value, which every view is made of."""

from __future__ import annotations

from collections.abc import Mapping

from allie.core.value import Value
from allie.server.fleet import expected, inbox, judge, rhythm, told
from allie.server.fleet.expected import INBOX, REPORTED
from allie.server.fleet.inbox import Arrived
from allie.server.fleet.overlay_changes import OverlayChanges
from allie.server.fleet.standing import ATTENTION, STATES, Pc, SystemView
from allie.server.fleet.told import Told

__all__ = ["ATTENTION", "STATES", "Fleet", "Pc", "SystemView", "load"]


class Fleet(Value):
    """All PCs that are expected, by name."""

    now: float
    store: str
    pcs: tuple[Pc, ...]
    changed: Mapping[str, float]  # overlay → when it was last changed, by the server's clock
    troubles: tuple[str, ...] = ()  # what could not be looked at here, in words


def load(store: str, now: float) -> Fleet:
    """Read and judge all reports. now: seconds since the epoch.

    What hosts offer (`Told.fixes`) is there without its content: `told_by` has it.
    """
    inboxes = inbox.survey(store)
    should = expected.survey(store, inboxes.hosts)
    changes = OverlayChanges(store)
    reported = {
        host: _without_content(_read(host, arrived))
        for host, arrived in inbox.each(store, inboxes.hosts)
    }
    gaps = rhythm.read(store, now)
    pcs = [
        _judged(host, by, reported.get(host), changes, gaps.get(host, 0.0), now)
        for host, by in should.hosts.items()
    ]
    troubles = (*inboxes.troubles, *should.troubles, *changes.troubles)
    return Fleet(now, store, tuple(pcs), changes.at, troubles)


def told_by(store: str, host: str) -> Told | None:
    """One host's whole report; None if it has none."""
    return _read(host, inbox.report(store, host))


def _read(host: str, arrived: Arrived) -> Told | None:
    if arrived.is_empty:
        return None
    if arrived.flaw:
        return Told(host, arrived.at, arrived.flaw)
    return told.read(host, arrived.at, arrived.text)


def _without_content(found: Told | None) -> Told | None:
    """What is kept of each host: of what it offers, the names alone."""
    if not found or not found.fixes:
        return found
    return found._replace(fixes=tuple(each._replace(content=b"") for each in found.fixes))


def _judged(
    host: str,
    by: tuple[str, ...],
    said: Told | None,
    changes: OverlayChanges,
    longest_gap: float,
    now: float,
) -> Pc:
    if said:
        by = tuple(sorted(REPORTED if each == INBOX else each for each in by))
    silent = judge.silence(host, said, now, longest_gap)
    systems = _systems(said, changes, silent, now) if said else ()
    return judge.pc(host, by, said, systems, silent)


def _systems(
    said: Told, changes: OverlayChanges, silent: judge.Judgement | None, now: float
) -> tuple[SystemView, ...]:
    found = []
    for each in said.systems:
        followed = changes.followed(said.host, each)
        changed, has = changes.last(followed), changes.before(followed, each.contact.good)
        found.append(judge.system(said, each, changed, has, silent, now))
    return tuple(found)
