"""Everything about one PC: what it is, how each of its systems stands, what each script said."""

from __future__ import annotations

from collections.abc import Iterable

from allie.core.script import LOOKS, beyond, span_text
from allie.machine.console import paint
from allie.server.fleet.fleet import Pc, SystemView
from allie.server.fleet.standing import HOSTS, adopting
from allie.server.fleet.told import Told, ToldDoor, ToldScript
from allie.server.views import words

_GIB = 1 << 30


def lines(pc: Pc, store: str, now: float) -> list[str]:
    """The view."""
    found = [f"{paint(pc.host, 'bold')}: {paint(pc.state, words.LOOKS[pc.state])}{_why(pc, now)}"]
    found += _row("next", pc.worst.todo(pc.host))
    found += _row("expected by", ", ".join(pc.expected_by))
    found += _row("classes", ", ".join(pc.classes))
    found += _row("heard", f"{words.moment(pc.heard)}{_ago(pc.heard, now)}")
    if pc.told and not pc.told.flaw:
        found += _machine(pc.told, now)
    for note in pc.told.notes if pc.told else ():
        found += _row("note", note)
    for view in pc.systems:
        found += ["", *_system(pc, view, now)]
    for fix in pc.told.fixes if pc.told else ():
        reason = f": {fix.reason}" if fix.reason else ""
        found += ["", f"offers /{fix.path} for {fix.overlay}{_ago(fix.at, now)}{reason}"]
        found += _row("next", adopting(store, pc.host, fix.path))
    return found


def _why(pc: Pc, now: float) -> str:
    span = words.spans([pc.worst.since], now)
    return f", {pc.why} {span}".rstrip() if pc.why else f" {span}".rstrip()


def _machine(told: Told, now: float) -> Iterable[str]:
    if told.name and told.name != told.host:
        yield from _row("calls itself", told.name)
    yield from _row("booted", f"{words.moment(told.booted)}{_ago(told.booted, now)}")
    yield from _row("next tick by", words.moment(told.next_tick) if told.next_tick else "")
    versions = [f"Linux {told.kernel}" if told.kernel else "", f"rsync {told.rsync}"]
    yield from _row("runs", ", ".join(each for each in versions if each and each != "rsync "))
    if told.disk:
        share = 100 * told.free // told.disk
        words_of_it = f"{told.free / _GIB:.1f} of {told.disk / _GIB:.1f} GiB left, {share} %"
        yield from _row("disk", paint(words_of_it, "warn") if share < 5 else words_of_it)


def _system(pc: Pc, view: SystemView, now: float) -> list[str]:
    told = view.told
    image = f"image {told.image}" if told.image else "no image"
    state = paint(view.state, words.LOOKS[view.state])
    found = [f"{paint(told.name, 'bold')} ({image}, ALLiE {told.version or 'unknown'}): {state}"]
    found += _row("tick", f"{told.tick} at {words.moment(told.ticked)}" if told.tick else "")
    release = f"{''.join(told.facts.distro[:1])} {told.facts.version}".strip()
    found += _row("is", ", ".join(filter(None, (release, told.facts.arch, told.facts.virt))))
    found += _row("overlays", " ".join(told.overlays))
    if told.ticked:
        reached = f"yes, since {words.moment(view.reached)}" if view.reached else "not yet"
        found += _row("reached", f"{reached}; its generation {told.generation}")
        found += _row("so now", "yes" if view.is_so_now else "no, or nobody knows")
    found += [*_door("store", told.contact, now), *_door("own", told.own, now)]
    for each in view.concerns:
        found += _row(each.state, f"{each.why} {words.spans([each.since], now)}", "bad")
        found += _row("", f"next: {each.todo(pc.host)}" if each.on_pc or HOSTS in each.here else "")
    if told.change.at:
        did = ", ".join(f"{count} {why}" for why, count in told.change.counts.items())
        found += _row("changed", f"{words.moment(told.change.at)}: {did}")
    for path in view.drift:
        found += _row("by hand", f"/{path} ({told.change.kinds.get(path, 'changed')}); put right")
    if told.rolled_back:
        found += _row("rolled back", f"from {told.rolled_back}")
    found += ["  scripts"] if told.scripts else []
    return found + [line for each in told.scripts for line in _script(each, now)]


def _door(name: str, door: ToldDoor, now: float) -> list[str]:
    if not door.server and not door.trouble:
        return []
    good = f"good at {words.moment(door.good)}"
    trouble = f"; {door.trouble} {words.spans([door.since], now)}" if door.trouble else ""
    return _row(name, f"{door.server}, {good}{trouble}".lstrip(", "), "bad" if trouble else "")


def _script(script: ToldScript, now: float) -> list[str]:
    state = paint(f"{script.state:<10}", LOOKS[script.state])
    more = f"{words.spans([script.since], now)} {beyond(script.state, script.why)}"
    found = [f"    {script.name:<24} {state} {more}".rstrip()]
    last = [line for line in script.last.split("\n") if line.strip()]
    return found + [paint(f"      | {line}", "dim") for line in last]


def _row(name: str, text: str, look: str = "") -> list[str]:
    """A line with a name; none where there is nothing to say."""
    return [f"  {name:<12} {paint(text.rstrip(), look)}"] if text.strip() else []


def _ago(at: float, now: float) -> str:
    return f", {span_text(now - at)} ago" if 0 < at <= now else ""
