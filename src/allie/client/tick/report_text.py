"""Values as lines of text for people: what `status`, `plan`, `log` and the parts print."""

from __future__ import annotations

import time

from allie.client.state.records import Pause
from allie.core import stubs
from allie.core.change.plan import FORGET, NOTE, PLACE, REMOVE, RESTORE, Plan
from allie.core.change.report import Applied, Contact, Report
from allie.core.change.resolution import Problem
from allie.core.script import LOOKS, Verdict, beyond, span_text
from allie.machine.console import paint, printable

_VERBS = {PLACE: "write", RESTORE: "restore", REMOVE: "remove", NOTE: "note", FORGET: "leave"}
STORE = "store: "  # how a part begins to tell of trouble with the store
OWN = "own: "  # … and with what is this host's own
DOORS = (STORE, OWN)
_MOST = 40  # paths shown under one heading


def applied(done: Applied) -> list[str]:
    """What one part did, a line for each path."""
    would = "would be " if done.paused else ""
    lines = []
    for why, paths in sorted(done.did.items()):
        lines += [f"{would}{why}: /{printable(path)}" for path in paths[:_MOST]]
        more = max(done.counts.get(why, 0), len(paths)) - _MOST
        if more > 0:
            lines.append(f"{would}{why}: and {more} more")
    lines += [paint(f"left as it is: {refused(each)}", "bad") for each in done.problems]
    return lines


def plan(the_plan: Plan) -> list[str]:
    """What a part would do."""
    lines = [
        f"{_VERBS[change.verb]:8} /{printable(change.real)}  ({change.why}"
        + (f", from {printable(change.entry.source)})" if change.entry else ")")
        for change in the_plan.visible
    ]
    lines += [paint(f"leave    {refused(each)}", "bad") for each in the_plan.problems]
    return lines


def refused(problem: Problem) -> str:
    """A path that is left as it is, and why; a name may hold what would drive a terminal."""
    return printable(f"/{problem.path}: {problem.message}")


def verdict(each: Verdict, now: float, *, without: str | tuple[str, ...] = "\n") -> list[str]:
    """One script: its state, since when, why, and what it last said.

    without: lines that begin so are shown elsewhere.
    """
    state = paint(f"{each.state:<10}", LOOKS.get(each.state, ""))
    why = beyond(each.state, each.why)
    if each.since and each.state != "test":
        why = f"for {span_text(now - each.since)}" + (f" ({why})" if why else "")
    last = [line for line in each.last.splitlines() if not line.startswith(without)][-3:]
    lines = [f"  {each.name:<24} {state} {why}"]
    lines += [f"  {'':<24} | {printable(line)}" for line in last]
    return lines


def unwell(value: Report, *, echoed: bool = False) -> list[str]:
    """What is not well after a tick, and what to do: for many hosts' answers side by side.

    No time, tick number or host's name of ours is in it, so that equal answers are equal lines,
    which `clush -b` folds. [] where all is well. echoed: what scripts said has been shown.
    """
    lines = []
    for each in value.ran:
        if each.state == "failing":
            lines.append(f"{each.name}: {paint('failing', 'bad')}, {each.why.partition('; ')[0]}")
            lines += [] if echoed else _what_it_said(each)
    if value.named:
        return lines
    for prefix, door in ((STORE, value.contact), (OWN, value.own_door)):
        if door.trouble:
            lines.append(f"{prefix}{paint(door.trouble, 'bad')}; what came before stays in force")
    return lines + paused(value) + [f"attention: {note}" for note in value.notes]


def paused(value: Report) -> list[str]:
    """That a tick changed nothing, for ticks are paused; [] if they are not."""
    words = f"paused: {value.paused}; nothing was changed; `allie resume` ends it"
    return [words] if value.paused else []


def _what_it_said(failed: Verdict) -> list[str]:
    """The last lines of a script that fails, and how to go on from there."""
    last = [line for line in failed.last.splitlines() if not line.startswith(DOORS)]
    lines = [f"    {printable(line)}" for line in last]
    if failed.name not in stubs.NAMES:
        again = f"once mended: allie run-conf {failed.name}"
        lines.append(f"  all it said: /var/log/allie/{failed.name}.log; {again}")
    return lines


def contact(value: Contact, now: float) -> str:
    """How we stand with the store."""
    if not value.good and not value.trouble:
        return "never asked"
    good = f"last good contact {span_text(now - value.good)} ago" if value.good else "never reached"
    if value.trouble:
        since = span_text(now - value.since)
        return paint(f"trouble for {since}: {value.trouble}; {good}", "bad")
    return f"{value.by or value.server}, generation {value.generation}, {good}"


def _away(value: Contact, now: float) -> list[str]:
    """The stores that another one stands in for, since when, and until when."""
    again = "asked again within the hour, or by `/root/conf/run-conf`"
    return [f"{each}, for {span_text(now - since)}; {again}" for each, since in value.away.items()]


def own_door(value: Contact, now: float) -> str:
    """How we stand with what the store has for this host alone."""
    good = f"last good contact {span_text(now - value.good)} ago" if value.good else "never reached"
    if not value.trouble:
        return f"{value.server}, {good}"
    words = f"{value.trouble}; for {span_text(now - value.since)}, {good}"
    return paint(words, "bad" if value.refused or value.good else "warn")


def report(value: Report, now: float, pause: Pause | None = None) -> list[str]:
    """The head of `status`: everything but the scripts. pause: the one in force now."""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value.began))
    classes = ", ".join(value.classes) or "none"
    lines = [
        paint(f"{value.host}, system {value.system}", "bold")
        + f" (image {value.image or 'unnamed'}, classes {classes}, allie {value.version})",
        f"  last tick  {value.tick} at {when}, {value.seconds:.1f} s, {summary(value)}",
        f"  store      {contact(value.contact, now)}",
        *(paint(f"  away       {each}", "warn") for each in _away(value.contact, now)),
    ]
    if value.own_door.server:
        lines.append(f"  own        {own_door(value.own_door, now)}")
    if value.paused:
        words = f"{value.paused}{pause.end if pause else ''}; `allie resume` ends it"
        lines.append(paint(f"  paused     {words}", "warn"))
    lines += [paint(f"  attention  {note}", "bad") for note in value.notes]
    lines += [paint(f"  left       {refused(each)}", "bad") for each in value.problems]
    return lines


def summary(value: Report, *, done: bool = False) -> str:
    """What a tick did, in a few words; without what it only would have done, too (done)."""
    counts: dict[str, int] = {}
    for each in value.own:
        if each.paused and done:
            continue
        for heading, number in each.counts.items():
            why = f"would be {heading}" if each.paused else heading
            counts[why] = counts.get(why, 0) + number
    words = [f"{number} {why}" for why, number in sorted(counts.items())]
    ran = [each.name for each in value.ran if each.state == "satisfied" and each.code == 0]
    ran = [name for name in ran if name not in stubs.NAMES]
    if ran:
        words.append(f"satisfied: {' '.join(ran)}")
    failing = [each.name for each in value.ran if each.state == "failing"]
    if failing:
        words.append(f"failing: {' '.join(failing)}")
    if value.problems:
        count = len(value.problems)
        words.append(f"{count} left as {'it is' if count == 1 else 'they are'}")
    return ", ".join(words) or "nothing to do"
