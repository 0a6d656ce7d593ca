"""How a PC stands, from what it told, what the store has, and the time. Pure.

    Told, when its overlays changed, now  →  Concern, SystemView, Pc

A concern is what is not as it should be; the worst of them is its state. The rules are in
docs/internals/fleet.md; a table tests them, row by row.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from allie.core import script, stubs
from allie.core.change.report import BY_HAND
from allie.core.system import STORE
from allie.server.fleet.standing import HOSTS, STATES, Concern, Pc, SystemView, ending, path_of
from allie.server.fleet.told import Told, ToldScript, ToldSystem
from allie.server.store import named_store

_HOUR = 3600.0
SHOULD_HAVE_COME = 2 * _HOUR  # seconds after a change: PCs tick each hour
LATE = 26 * _HOUR  # a report comes once a day at least
STALE_AFTER, STALE_AT_LAST = 72 * _HOUR, 30 * 24 * _HOUR
_MOST = 20  # concerns of a system
_STATUS = "allie status"
_BADNESS = {state: at for at, state in enumerate(STATES)}  # the least is the worst


def patience(usual: float) -> float:
    """Seconds of silence after which a PC is stale. usual: its longest usual silence; 0: unknown.

    >>> patience(0) / 86400, patience(8 * 86400) / 86400, patience(90 * 86400) / 86400
    (3.0, 16.0, 30.0)
    """
    return min(max(STALE_AFTER, 2 * usual), STALE_AT_LAST)


def silence(
    told: Told | None, usual: float, now: float, *, store: str = STORE, can_report: bool = True
) -> Concern | None:
    """What is wrong with a PC that is not heard of as it should be; None if it is.

    usual: its longest usual silence, seconds; can_report: it is enrolled, or has an inbox.
    """
    if told and told.flaw:
        look = f"ls -la {shlex.quote(store)}/inbox/{HOSTS}"
        return Concern("missing", told.flaw, told.arrived, here=look)
    if not told and can_report:
        return Concern("missing", "has never reported", on_pc=_STATUS)
    if not told:
        enrol = f"allie store enrol --scan {HOSTS}{named_store(store)}"
        return Concern("missing", "has never reported, and is not enrolled", here=enrol)
    quiet = now - told.arrived
    if quiet > patience(usual):
        return Concern("stale", "has not been heard of", told.arrived, on_pc=_STATUS)
    if quiet > LATE:
        return Concern("off", "its daily report is late", told.arrived)
    return None


def system(
    told: Told, system: ToldSystem, changed: float, has: float, silent: Concern | None, now: float
) -> SystemView:
    """One system of a PC that has reported.

    changed: when the overlays that it follows were last changed; has: the newest such change that
    it has; silent: what is wrong with the whole PC.
    """
    own = sorted(_concerns(told, system, changed, now), key=_badness)[:_MOST]
    drift = tuple(path for why in BY_HAND for path in system.change.did.get(why, ()))
    reached = reached_at(system, changed)
    wrong = [*own, silent] if silent else own
    if wrong:
        worst = min(wrong, key=_badness)
    else:
        worst = Concern("current", "", reached or system.contact.good)
    return SystemView(system, worst, reached, drift, has, tuple(own))


def pc(
    host: str,
    expected_by: tuple[str, ...],
    told: Told | None,
    systems: tuple[SystemView, ...],
    silent: Concern | None,
    classes: tuple[str, ...] = (),
) -> Pc:
    """A PC of its systems, judged, and of what is wrong with the whole of it."""
    heard = told.arrived if told else 0.0
    concerns = (silent,) if silent else ()
    worst = min((*(each.worst for each in systems), *concerns), key=_badness)
    return Pc(host, worst, heard, expected_by, told, systems, classes, concerns)


def _badness(concern: Concern) -> int:
    return _BADNESS[concern.state]


def reached_at(system: ToldSystem, changed: float) -> float:
    """When what the store has since a time had arrived, as far as is known; 0: it has not."""
    if system.contact.good < changed or system.contact.good <= 0:
        return 0.0
    if system.change.at >= changed:
        return system.change.at
    return 0.0 if system.paused else system.contact.good  # paused, it fetches and uses nothing


def _concerns(told: Told, system: ToldSystem, changed: float, now: float) -> Iterable[Concern]:
    """All that is wrong with a system, in the order in which it is looked at."""
    refused = system.contact.refused or system.own.refused
    explained = stubs.PARTS if system.problems or refused else ()  # a part fails for what it tells
    for one in system.scripts:
        if one.state == "failing" and one.name not in explained:
            yield _of_script(one)
    for problem in system.problems:
        path = path_of(problem.path)
        words = f"{path} is left as it is: {problem.message}"
        yield Concern("failing", words, on_pc=f"allie why {shlex.quote(path)}")
    for note in system.notes:
        yield Concern("failing", note, on_pc=_STATUS)
    for door in (system.contact, system.own):
        if door.refused:
            yield Concern("refused", door.trouble, door.since, on_pc=_STATUS)
    if system.paused:
        yield Concern("paused", system.paused, on_pc="allie resume")
    if system.ticked:
        yield from _behind(told, system, changed, now)
    if system.trouble:
        yield Concern("failing", system.trouble, on_pc="allie system list")
    if system.arriving:
        yield Concern("arriving", system.arriving)


def _of_script(one: ToldScript) -> Concern:
    again = f"allie run-conf {one.name}" if script.is_name(one.name) else _STATUS
    return Concern("failing", f"{one.name} {ending(one)}", one.since, one.last, again)


def _behind(told: Told, system: ToldSystem, changed: float, now: float) -> Iterable[Concern]:
    """Whether what the store has should have come, and has not.

    Nobody knows that of a PC that was not heard of since; one that says why it has not come is
    believed at once.
    """
    door = system.contact
    if door.refused or door.good >= changed or told.arrived <= changed:
        return
    if door.trouble:
        yield Concern("behind", door.trouble, door.since or changed, on_pc=_STATUS)
    elif now - changed > SHOULD_HAVE_COME:
        words = "has not taken what changed in the store"
        yield Concern("behind", words, changed, on_pc="allie run-conf")
