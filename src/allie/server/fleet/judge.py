"""How a PC stands, from what it told, what the store has, and the time. Pure.

    Told, when its overlays changed, now  →  Pc, SystemView

The rules are in docs/internals/fleet.md; a table tests them, row by row.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

from allie.core import script, stubs
from allie.core.script import span_text
from allie.core.value import Value
from allie.server.fleet.standing import STATES, Pc, SystemView
from allie.server.fleet.told import Told, ToldScript, ToldSystem

_HOUR = 3600.0
SHOULD_HAVE_COME = 2 * _HOUR  # after a change: PCs tick each hour
LATE = 26 * _HOUR  # a report comes once a day at least
STALE_AFTER, STALE_AT_LAST = 72 * _HOUR, 30 * 24 * _HOUR
DRIFT = "drift"  # the heading of paths that were changed by hand; core/change/plan.py


class Judgement(Value):
    """How something stands, before it is anybody's."""

    state: str
    since: float = 0.0
    why: str = ""
    todo: str = ""


def patience(longest_gap: float) -> float:
    """Seconds of silence after which a PC is stale. longest_gap: its usual longest one."""
    return min(max(STALE_AFTER, 2 * longest_gap), STALE_AT_LAST)


def pc(
    host: str,
    expected_by: tuple[str, ...],
    told: Told | None,
    systems: tuple[SystemView, ...],
    silent: Judgement | None,
) -> Pc:
    """A PC of its systems, judged; silent: how it stands for what was not heard of it."""
    heard = told.arrived if told else 0.0
    whole = [Judgement(each.state, each.since, each.why, each.todo) for each in systems]
    worst = min([*whole, *([silent] if silent else [])], key=lambda each: STATES.index(each.state))
    return Pc(host, *worst, heard, expected_by, told, systems)


def silence(host: str, told: Told | None, now: float, longest_gap: float) -> Judgement | None:
    """How a PC stands that is not heard of now; None if it is."""
    if not told or told.flaw:
        why = told.flaw if told else "has never reported"
        return Judgement("missing", told.arrived if told else 0.0, why, _ssh(host, "allie status"))
    quiet = now - told.arrived
    if quiet > patience(longest_gap):
        todo = "switch it on, and look at it: " + _ssh(host, "allie status")
        return Judgement("stale", told.arrived, f"not heard of for {span_text(quiet)}", todo)
    if quiet > LATE:
        return Judgement("off", told.arrived, f"not heard of for {span_text(quiet)}")
    return None


def system(
    told: Told, each: ToldSystem, changed: float, has: float, silent: Judgement | None, now: float
) -> SystemView:
    """One system of a PC that has reported.

    changed: when the overlays that it follows were last changed; has: the newest such change that
    it has.
    """
    drift = each.change.did.get(DRIFT, ())
    reached = _reached(each, changed)
    candidates = [*_troubles(told.host, each)]
    candidates += _behind(told, each, changed, now) if each.ticked or each.contact.trouble else []
    if each.arriving:
        candidates.append(Judgement("arriving", 0.0, each.arriving, ""))
    if silent:
        candidates.append(silent)
    candidates.append(Judgement("current", reached or each.contact.good))
    worst = min(candidates, key=lambda one: STATES.index(one.state))
    return SystemView(each, *worst, reached, drift, has)


def _reached(each: ToldSystem, changed: float) -> float:
    """When what the store has now had arrived, as far as is known; 0: it has not."""
    if each.contact.good < changed or each.contact.good <= 0:
        return 0.0
    if each.change.at >= changed:
        return each.change.at
    return 0.0 if each.paused else each.contact.good  # paused, it fetches and uses nothing


def _troubles(host: str, each: ToldSystem) -> Iterable[Judgement]:
    """What the system says itself that is wrong."""
    explained = stubs.PARTS if each.problems or each.contact.refused or each.own.refused else ()
    failing = [one for one in each.scripts if one.state == "failing" and one.name not in explained]
    if failing:
        yield _of_scripts(host, failing)
    for problem in each.problems[:1]:
        more = f" (and {len(each.problems) - 1} more)" if len(each.problems) > 1 else ""
        path = f"/{problem.path.lstrip('/')}"
        why = f"{path} is left as it is: {problem.message}{more}"
        yield Judgement("failing", 0.0, why, _ssh(host, f"allie why {shlex.quote(path)}"))
    for note in each.notes[:1]:
        yield Judgement("failing", 0.0, note, _ssh(host, "allie status"))
    for door in (each.contact, each.own):
        if door.refused:
            yield Judgement("refused", door.since, door.trouble, _ssh(host, "allie status"))
    if each.paused:
        yield Judgement("paused", 0.0, each.paused, _ssh(host, "allie resume"))


def _of_scripts(host: str, failing: list[ToldScript]) -> Judgement:
    first = failing[0]
    words = [f"{each.name} {_end(each)}" for each in failing]
    since = min((each.since for each in failing if each.since), default=0.0)
    again = f"allie run-conf {first.name}" if script.is_name(first.name) else "allie status"
    return Judgement("failing", since, "; ".join(words[:5]), _ssh(host, again))


def _end(each: ToldScript) -> str:
    return f"exit {each.code}" if each.code is not None else each.why or "fails"


def _behind(told: Told, each: ToldSystem, changed: float, now: float) -> list[Judgement]:
    """Whether what the store has should have arrived, and has not."""
    if each.contact.good >= changed or told.arrived <= changed:
        return []
    trouble = each.contact.trouble
    if not trouble and now - changed <= SHOULD_HAVE_COME:
        return []
    why = trouble or f"has not taken what changed {span_text(now - changed)} ago"
    return [Judgement("behind", changed, why, _ssh(told.host, "allie run-conf"))]


def _ssh(host: str, command: str) -> str:
    """A command on a PC, as a shell here takes it."""
    plain = re.fullmatch("[A-Za-z0-9_/ .,=:+@%-]*", command)
    return f"ssh {host} {command if plain else shlex.quote(command)}"
