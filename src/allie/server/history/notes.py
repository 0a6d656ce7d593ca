"""The fleet's log: what changed where, and when; and how many PCs stood how.

    Fleet, known  ──compare──►  Events   log/2026-11-29
                  ──tally────►  Count    counts
                             ►  rhythm   how long each PC was silent, for the judge

Only a report that came since the last look is compared, so a look at 5,000 PCs costs little. What
came and went between two looks is not known. A host has so many events and bytes a day and no more:
one that comes and goes without end leaves room for the others.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from allie.core import hosts
from allie.core.value import Value
from allie.server.fleet import arrivals, host_sets, judge, rhythm
from allie.server.fleet.fleet import Fleet, Pc
from allie.server.history import compare, journal, tally
from allie.server.history.compare import Event, Remembered
from allie.server.history.journal import COUNTS, LOG, Journal, Known
from allie.server.history.tally import Count

__all__ = ["Count", "Event", "counts", "events", "note"]

EVENTS_OF_A_DAY, BYTES_OF_A_DAY = 100, 64 << 10  # of one host
_MOST_OF_A_LINE = 8 << 10  # bytes that are remembered of one host
_NEVER = 253_402_300_799.0  # the end of 9999
_BACK = 3600  # seconds that a clock goes back: more is no slewing
_THIN, _MOST_COUNTS = 1 << 20, 20_000  # bytes of the counts at which they are thinned; lines


class _Look(Value):
    """One look at the fleet."""

    now: float
    before: float  # when the last look was; 0: there was none

    @property
    def day(self) -> str:
        """The day whose log it adds to."""
        return _day(self.now)

    def when(self, pc: Pc, is_new: bool) -> float:
        """When something became so: a report tells it as it arrives, silence is seen now."""
        return min(max(pc.heard, self.before), self.now) if is_new else self.now


def note(fleet: Fleet) -> list[Event]:
    """Compare with what was known, and keep what is new; the new events. Bounded, pruned by age.

    The first look at all has nothing to compare with, and no events. Raises StateError where the
    disk takes nothing (the next look has it all again), Busy where another look takes long.
    """
    with journal.opened(fleet.store) as kept:
        known = kept.known()
        look = _Look(fleet.now, known.at)
        found, lines, silences = _compared(fleet, look, known)
        odd = _odd(known, look.now)
        if odd:
            found.insert(0, Event(look.now, "", "", "log", odd))
        rhythm.add(fleet.store, silences)
        arrivals.keep(fleet.store, (pc.told for pc in fleet.pcs if pc.told))
        found, text = _fitting(found, kept.room(look.day))
        counted, count = known.counted, ""
        if not 0 <= look.now - counted < tally.OFTEN:
            counted, count = look.now, _line(tally.tally(fleet))
        if text or count or lines != known.lines:
            added = {f"{LOG}/{look.day}": text, COUNTS: count}
            kept.keep(Known(look.now, counted, lines), added)
            _thin(kept, fleet.store, look.now)
            kept.prune(look.day)
        return found


def events(
    store: str, *, about: str = "", since: float = 0.0, now: float = _NEVER
) -> Iterator[Event]:
    """What was kept, newest first. about: a host, a host set, or a path that begins with /.

    What a clock noted that was ahead, on days that are not yet, comes last; with `since` it is
    left out.
    """
    is_meant = _filter(about)
    for value in journal.newest_first(store, _day(since) if since else "", _day(now)):
        event = _event(value)
        if event and event.at >= since and is_meant(event):
            yield event


def _day(at: float) -> str:
    """The day of a time, as the log has it."""
    return time.strftime("%Y-%m-%d", time.gmtime(max(0.0, at)))


def counts(store: str, *, since: float = 0.0) -> list[Count]:
    """How the fleet stood, oldest first."""
    return [each for each in _counts(store) if each.at >= since]


def _compared(
    fleet: Fleet, look: _Look, known: Known
) -> tuple[list[Event], dict[str, str], dict[str, tuple[float, float]]]:
    """(what is new, what to remember by host, whose silence has ended and how long it was)."""
    found: list[Event] = []
    lines: dict[str, str] = {}
    silences: dict[str, tuple[float, float]] = {}
    for pc in fleet.pcs:
        head = _head(pc)
        line = known.lines.get(pc.host, "")
        if line.startswith(head):
            lines[pc.host] = line
            continue
        heard, before = _remembered(line)
        is_first = before is None and not known.at
        is_new = pc.heard != heard
        silence = look.before - heard  # of what we have seen; it may have reported meanwhile
        if before and is_new and 0 < heard < pc.heard and silence > judge.LATE:
            silences[pc.host] = (pc.heard, silence)
        at = look.when(pc, is_new)
        if before is None and not is_first:
            before = Remembered({})
        new, after = compare.compared(before, pc, at)
        new, after = _allowed(new, after, look.day)
        found += new
        lines[pc.host] = head + _bounded(after)
    for host in filter(hosts.is_name, sorted(known.lines.keys() - lines.keys())):
        found.append(Event(look.now, host, "", "state", "no longer expected"))
    return sorted(found, key=lambda each: each.at), lines, silences


def _allowed(new: list[Event], after: Remembered, day: str) -> tuple[list[Event], Remembered]:
    """As much of what is new of one host as a day has room for; where it ends, that is said."""
    _, number, size = after.spent if after.spent[0] == day else (day, 0, 0)
    found: list[Event] = []
    for each in new if number <= EVENTS_OF_A_DAY else ():
        size += len(_line(each))
        number += 1
        if number > EVENTS_OF_A_DAY or size > BYTES_OF_A_DAY:
            number = EVENTS_OF_A_DAY + 1
            words = "more of it is left out until the day is over (UTC)"
            found.append(Event(each.at, each.host, "", "log", words))
            break
        found.append(each)
    return found, after._replace(spent=(day, number, size))


def _fitting(found: list[Event], room: int) -> tuple[list[Event], str]:
    """The events that a day's log has room for, and their lines."""
    fitting, lines = [], []
    for each in found:
        lines.append(_line(each))
        room -= len(lines[-1])
        if room < 0:
            lines.pop()
            break
        fitting.append(each)
    return fitting, "".join(lines)


def _thin(kept: Journal, store: str, now: float) -> None:
    """Keep fewer of the old counts, once they have become many; not by a clock that is back."""
    if kept.size(COUNTS) < _THIN:
        return
    found = tally.thinned(_counts(store), now)[-_MOST_COUNTS:]
    kept.replace(COUNTS, "".join(map(_line, found)))


def _counts(store: str) -> list[Count]:
    return [each for each in map(_count, journal.oldest_first(store, COUNTS)) if each]


def _head(pc: Pc) -> str:
    """How the line of a PC begins, of which nothing is new: when it was heard of, how it stands."""
    return f"{pc.host}\t{pc.heard!r}\t{json.dumps(compare.states_of(pc))}\t"


def _bounded(after: Remembered) -> str:
    """What is to be remembered of a PC; of one that says too much, how it stands alone."""
    text = json.dumps(after)
    return text if len(text) < _MOST_OF_A_LINE else json.dumps(after._replace(systems={}))


def _remembered(line: str) -> tuple[float, Remembered | None]:
    """When a PC was last heard of, and what is known of it."""
    try:
        _, heard, _, text = line.split("\t")
        states, boot, kernel, systems, spent = json.loads(text)
        day, number, size = spent
        return float(heard), Remembered(states, boot, kernel, systems, (day, number, size))
    except (ValueError, TypeError):
        return 0.0, None


def _count(value: dict[str, Any]) -> Count | None:
    """What a line says; None: it is another version's, or a damaged one."""
    try:
        count = Count(**value)
        numbers = [count.at, count.reports]
        for part in (count.states, count.reached, count.following, count.changed):
            numbers += part.values()
    except (TypeError, AttributeError):
        return None
    fits = all(isinstance(each, (int, float)) and 0 <= each < _NEVER for each in numbers)
    return count if fits else None


def _event(value: dict[str, Any]) -> Event | None:
    try:
        event = Event(**value)
        texts = (event.host, event.system, event.kind, event.what, *event.paths)
        fits = 0 <= event.at < _NEVER and all(isinstance(each, str) for each in texts)
        return event._replace(paths=tuple(event.paths)) if fits else None
    except TypeError:
        return None


def _line(value: Event | Count) -> str:
    return json.dumps(value._asdict(), separators=(",", ":")) + "\n"


def _filter(about: str) -> Callable[[Event], bool]:
    """Whether an event is about what was asked for."""
    if not about:
        return lambda _: True
    if about.startswith("/"):
        below = f"{about.rstrip('/')}/"
        return lambda event: any(f"{path}/".startswith(below) for path in event.paths)
    patterns = host_sets.divided(about)
    return lambda event: any(hosts.matches(each, hosts.names_of(event.host)) for each in patterns)


def _odd(known: Known, now: float) -> str:
    """What an administrator should know of the log itself."""
    if known.at > now + _BACK:
        last = time.strftime("%Y-%m-%d %H:%M", time.localtime(known.at))
        return f"the server's clock was set back: the last look was at {last}"
    return "what was known before is damaged: begun anew" if known.is_damaged else ""
