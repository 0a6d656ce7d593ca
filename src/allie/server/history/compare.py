"""What became otherwise on one PC: what was remembered of it, beside how it is judged now. Pure.

    what was remembered, Pc  →  Events, and what is to be remembered

A report has the last tick that changed something, by its number: so what was told is not told
again, however often it is sent. A PC that was never seen before has no past to compare with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from allie.core.value import Value
from allie.server.fleet.fleet import Pc, SystemView
from allie.server.fleet.standing import ending, path_of
from allie.server.fleet.told import Told, ToldScript

_FEW, _WORDS = 3, 300  # paths named in words; letters of those
_SCRIPTS, _PROBLEMS = 20, 10  # of one system, that are remembered: a report has what it likes
_DID = {  # heading of core/change/plan.py → what it did to a path
    "new": "placed",
    "changed": "changed",
    "drift": "put back: changed by hand",
    "missing": "put back: was missing",
    "withdrawn": "withdrawn",
    "absent": "removed",
    "superseded": "placed",
    "linked": "placed",
    "came back": "placed",
}
_SAME = ("adopted", "seen again", "once")  # headings of paths that stayed as they were


class Event(Value):
    """Something that became otherwise on one PC."""

    at: float  # seconds since the epoch, of the server's clock
    host: str  # "": of the log itself
    system: str  # "": of the whole PC
    kind: str  # state, change, drift, script, problem, boot, version or log
    what: str  # one line, in words: `current → failing: 20packages exit 1`
    paths: tuple[str, ...] = ()


class Remembered(Value):
    """What is known of one PC between two looks, as it stands in a file."""

    states: dict[str, str]  # "" → the PC's; system → its own, where that is another
    boot: str = ""
    kernel: str = ""
    systems: dict[str, dict[str, Any]] = {}  # noqa: RUF012 - see `_system`
    spent: tuple[str, int, int] = ("", 0, 0)  # day, events of that day, bytes of them


def states_of(pc: Pc) -> dict[str, str]:
    """How it stands, and those of its systems that stand otherwise."""
    others = {each.told.name: each.state for each in pc.systems if each.state != pc.state}
    return {"": pc.state, **others}


def compared(before: Remembered | None, pc: Pc, at: float) -> tuple[list[Event], Remembered]:
    """What is new of a PC, and what to remember of it. at: when it became so."""
    states = states_of(pc)
    if before is None:
        return [], _remembered(pc, states, Remembered(states))
    found = [*_states(before, states, pc, at)]
    after = _remembered(pc, states, before)
    told = pc.told
    if told and not told.flaw:
        found += _machine(before, after, told, at)
        for each in pc.systems:
            was = before.systems.get(each.told.name)
            if was is not None:
                found += _events(was, after.systems[each.told.name], each, pc.host, at)
    return found, after


def _remembered(pc: Pc, states: dict[str, str], before: Remembered) -> Remembered:
    told = pc.told
    if not told or told.flaw:
        return before._replace(states=states)
    systems = {each.told.name: _system(each) for each in pc.systems}
    return Remembered(states, told.boot, told.kernel, systems, before.spent)


def _system(view: SystemView) -> dict[str, Any]:
    told = view.told
    return {
        "change": told.change.tick,
        "failing": [each.name for each in _failing(view)],
        "problems": [path_of(each.path) for each in told.problems[:_PROBLEMS]],
        "version": told.version,
        "image": told.image,
    }


def _states(before: Remembered, states: dict[str, str], pc: Pc, at: float) -> Iterator[Event]:
    was, now = before.states.get("", ""), states[""]
    if was != now:
        yield Event(at, pc.host, "", "state", _cut(f"{was or 'new'} → {now}", pc.why))
    for view in pc.systems if was else ():
        name = view.told.name
        is_new = bool(before.systems) and name not in before.systems
        known = "new" if is_new else before.states.get(name, was)
        is_told = known == was and view.state == now  # by the PC's own
        if known != view.state and not is_told:
            yield Event(at, pc.host, name, "state", _cut(f"{known} → {view.state}", view.worst.why))


def _machine(before: Remembered, after: Remembered, told: Told, at: float) -> Iterator[Event]:
    if before.boot != after.boot and before.boot and after.boot:
        yield Event(at, told.host, "", "boot", "booted")
    if before.kernel != after.kernel and before.kernel:
        words = f"kernel {before.kernel} → {after.kernel or 'unknown'}"
        yield Event(at, told.host, "", "version", words)


def _events(
    was: dict[str, Any], now: dict[str, Any], view: SystemView, host: str, at: float
) -> Iterator[Event]:
    """What one system of a PC did, or what became of its scripts and paths."""
    system = view.told.name
    for words in _versions(was, now):
        yield Event(at, host, system, "version", words)
    if was.get("change") != now["change"]:
        yield from _changes(view, host, at)
    for words in _scripts(was.get("failing", ()), view):
        yield Event(at, host, system, "script", _cut(words))
    for words, paths in _problems(was.get("problems", ()), now["problems"], view):
        yield Event(at, host, system, "problem", words, paths)


def _versions(was: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """Another ALLiE, or another image, where both are known."""
    for what, name in (("ALLiE", "version"), ("image", "image")):
        if was.get(name) != now[name] and was.get(name) and now[name]:
            yield _cut(f"{what} {was[name]} → {now[name]}")


def _changes(view: SystemView, host: str, at: float) -> Iterator[Event]:
    """What the last tick that changed something did, by heading."""
    change = view.told.change
    for heading, paths in sorted(change.did.items()):
        if not heading.startswith(_SAME):
            count = max(change.counts.get(heading, 0), len(paths))
            named = tuple(map(path_of, paths))
            kind = "drift" if heading == "drift" else "change"
            words = f"{_listed(named, count)} {_DID.get(heading, f'({heading})')}"
            yield Event(at, host, view.told.name, kind, _cut(words), named)


def _problems(
    former: Sequence[str], left: Sequence[str], view: SystemView
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Which paths are left as they are that were not, and the other way round: (words, paths)."""
    new = tuple(path for path in left if path not in former)
    if new:
        yield f"{_listed(new, len(new))} left as it is", new
    still = {path_of(each.path) for each in view.told.problems}
    over = tuple(path for path in former if path not in still)
    if over:
        yield f"{_listed(over, len(over))} well again", over


def _scripts(failed: Sequence[str], view: SystemView) -> list[str]:
    """Which scripts fail that did not, and the other way round."""
    states = {each.name: each.state for each in view.told.scripts}
    new = [
        f"{each.name} fails: {ending(each)}" for each in _failing(view) if each.name not in failed
    ]
    over = [name for name in failed if states.get(name) != "failing"]
    return new + [f"{name} fails no more: it is {states.get(name, 'gone')}" for name in over]


def _failing(view: SystemView) -> list[ToldScript]:
    return [each for each in view.told.scripts if each.state == "failing"][:_SCRIPTS]


def _listed(paths: Sequence[str], count: int) -> str:
    """The first paths by name, and how many more there are."""
    named = ", ".join(paths[:_FEW])
    return f"{named} and {count - _FEW} more" if count > _FEW else named


def _cut(words: str, why: str = "") -> str:
    line = f"{words}: {why}" if why else words
    return line if len(line) <= _WORDS else f"{line[: _WORDS - 1]}…"
