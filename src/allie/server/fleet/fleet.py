"""The whole fleet as one value, which every view is made of."""

from __future__ import annotations

import os
import stat
from collections.abc import Container, Iterator, Mapping, Sequence

from allie.core.value import Value
from allie.machine.files import atomic, beneath
from allie.server import overlays
from allie.server.fleet import arrivals, expected, inbox, judge, rhythm, told
from allie.server.fleet.expected import INBOX, REPORTED, Expected
from allie.server.fleet.host_sets import fold
from allie.server.fleet.inbox import Arrived
from allie.server.fleet.overlay_changes import OverlayChanges
from allie.server.fleet.standing import ATTENTION, STATES, Concern, Pc, SystemView
from allie.server.fleet.told import HandFix, Told, ToldSystem

__all__ = ["ATTENTION", "STATES", "Concern", "Fleet", "Pc", "SystemView", "load"]

_NAMED = 20  # hosts that are named of one trouble
_NOT_ENROLLED = "not enrolled, or no more: `allie store retire HOST --purge` if it is gone"


class Fleet(Value):
    """All PCs that are expected, by name."""

    now: float
    store: str
    pcs: tuple[Pc, ...]
    changed: Mapping[str, float]  # overlay → when it was last changed, by the server's clock
    troubles: tuple[str, ...] = ()  # what could not be looked at here, in words


class _Judging(Value):
    """What the store itself knows, by which PCs are judged."""

    store: str
    now: float
    expected: Expected
    changes: OverlayChanges
    silences: Mapping[str, float]


def load(store: str, now: float) -> Fleet:
    """Read and judge all reports. now: seconds since the epoch.

    What hosts offer (`Told.fixes`) is there until it is taken, and without its content:
    `told_by` has that.
    """
    inboxes = inbox.survey(store)
    should = expected.survey(store, inboxes.hosts)
    changes = OverlayChanges(store)
    known = _Judging(store, now, should, changes, rhythm.read(store, now))
    reported, kept, later = {}, arrivals.read(store), []
    for host, arrived in inbox.each(store, inboxes.hosts):
        if arrivals.is_later(arrived.at, now):
            later.append(host)
            arrived = arrived._replace(at=now)
        reported[host] = _waiting(store, changes.shared, _read(host, arrived, kept.get(host)))
    pcs = [_judged(host, reported.get(host), known) for host in should.hosts]
    troubles = (*inboxes.troubles, *should.troubles, *changes.troubles, *_from_later(later))
    return Fleet(now, store, tuple(pcs), changes.at, troubles)


def _from_later(hosts: Sequence[str]) -> Iterator[str]:
    """Whether reports of hosts came at a time that is not yet: they count from the next look on."""
    if hosts:
        words = "came later than now is: this server's clock is behind, or was ahead then"
        yield f"reports of {fold(hosts[:_NAMED])}{' and others' * (len(hosts) > _NAMED)} {words}"


def told_by(store: str, host: str) -> Told | None:
    """One host's whole report; None if it has none."""
    return _read(host, inbox.report(store, host))


def _read(host: str, arrived: Arrived, known: tuple[str, float] | None = None) -> Told | None:
    """What a host told. known: what was kept of when its last report came."""
    if arrived.is_empty:
        return None
    if arrived.flaw:
        return Told(host, arrived.at, arrived.flaw)
    found = told.read(host, arrived.at, arrived.text)
    at = arrivals.first_seen(found, known)
    return found if at == found.arrived else told.read(host, at, arrived.text)


def _waiting(store: str, known: Container[str], found: Told | None) -> Told | None:
    """What is kept of each host: of what it offers, the names of what was not taken yet.

    known: the overlays of the store that are for all.
    """
    if not found or not found.fixes:
        return found
    left = (each for each in found.fixes if not (each.overlay in known and _is_so(store, each)))
    return found._replace(fixes=tuple(each._replace(content=b"") for each in left))


def _is_so(store: str, fix: HandFix) -> bool:
    """Whether the overlay's file is as a PC offers it. Which file, the PC says: by no link."""
    held: list[int] = []
    try:
        held.append(os.open(f"{store}/{overlays.place(fix.overlay)}", os.O_RDONLY | os.O_CLOEXEC))
        held.append(beneath.open_beneath(held[0], fix.spelling, os.O_RDONLY | os.O_NONBLOCK))
        st = os.fstat(held[1])
        if not stat.S_ISREG(st.st_mode) or st.st_size != len(fix.content):
            return False
        return atomic.read_open(held[1], len(fix.content)) == fix.content
    except (OSError, ValueError):
        return False
    finally:
        for each in held:
            os.close(each)


def _judged(host: str, said: Told | None, known: _Judging) -> Pc:
    should = known.expected
    by = should.hosts[host]
    own = {name for each in said.systems for name in each.classes} if said else set()
    classes = tuple(sorted({*should.classes_of(host), *(own - should.classes)}))
    if said:
        by = tuple([REPORTED if each == INBOX else each for each in by])
        if should.enrolled and host not in should.enrolled:
            said = said._replace(notes=(*said.notes, _NOT_ENROLLED))
    can_report = host in should.enrolled or INBOX in should.hosts[host]
    usual = known.silences.get(host, 0.0)
    silent = judge.silence(said, usual, known.now, store=known.store, can_report=can_report)
    views = [_viewed(said, each, silent, known) for each in said.systems] if said else []
    return judge.pc(host, by, said, tuple(views), silent, classes)


def _viewed(said: Told, system: ToldSystem, silent: Concern | None, known: _Judging) -> SystemView:
    followed = known.changes.followed(said.host, system)
    changed = known.changes.last(followed)
    has = known.changes.before(followed, system.contact.good)
    return judge.system(said, system, changed, has, silent, known.now)
