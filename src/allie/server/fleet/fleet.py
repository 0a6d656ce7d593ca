"""The whole fleet as one value, which every view is made of."""

from __future__ import annotations

from collections.abc import Mapping

from allie.core.value import Value
from allie.server.fleet import expected, inbox, judge, rhythm, told
from allie.server.fleet.expected import INBOX, REPORTED, Expected
from allie.server.fleet.inbox import Arrived
from allie.server.fleet.overlay_changes import OverlayChanges
from allie.server.fleet.standing import ATTENTION, STATES, Concern, Pc, SystemView
from allie.server.fleet.told import Told

__all__ = ["ATTENTION", "STATES", "Concern", "Fleet", "Pc", "SystemView", "load"]


class Fleet(Value):
    """All PCs that are expected, by name."""

    now: float
    store: str
    pcs: tuple[Pc, ...]
    changed: Mapping[str, float]  # overlay → when it was last changed, by the server's clock
    troubles: tuple[str, ...] = ()  # what could not be looked at here, in words


class _Known(Value):
    """What the store itself knows, by which PCs are judged."""

    store: str
    now: float
    expected: Expected
    changes: OverlayChanges
    silences: Mapping[str, float]


def load(store: str, now: float) -> Fleet:
    """Read and judge all reports. now: seconds since the epoch.

    What hosts offer (`Told.fixes`) is there without its content: `told_by` has it.
    """
    inboxes = inbox.survey(store)
    should = expected.survey(store, inboxes.hosts)
    changes = OverlayChanges(store)
    known = _Known(store, now, should, changes, rhythm.read(store, now))
    reported = {
        host: _without_content(_read(host, arrived))
        for host, arrived in inbox.each(store, inboxes.hosts)
    }
    pcs = [_judged(host, reported.get(host), known) for host in should.hosts]
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


def _judged(host: str, said: Told | None, known: _Known) -> Pc:
    should = known.expected
    by, classes = should.hosts[host], should.classes_of(host)
    if said:
        by = tuple(sorted(REPORTED if each == INBOX else each for each in by))
    can_report = host in should.enrolled or INBOX in should.hosts[host]
    silent = judge.absence(known.store, said, can_report)
    if silent or not said:
        return judge.pc(host, by, said, (), silent, classes)
    silent = judge.silence(said, known.silences.get(host, 0.0), known.now)
    views = []
    for each in said.systems:
        followed = known.changes.followed(host, each)
        changed, has = (
            known.changes.last(followed),
            known.changes.before(followed, each.contact.good),
        )
        views.append(judge.system(said, each, changed, has, silent, known.now))
    return judge.pc(host, by, said, tuple(views), silent, classes)
