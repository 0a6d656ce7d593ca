"""The whole fleet: a line for each group of equal systems, then what is not well, worst first.

Equal concerns of many PCs are one: the same script with the same end and the same last line.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from textwrap import wrap

from allie.core.value import Value
from allie.machine.console import paint
from allie.server import mirror_state
from allie.server.fleet.fleet import ATTENTION, STATES, Concern, Fleet, Pc, SystemView
from allie.server.fleet.host_sets import divided, fold
from allie.server.fleet.standing import HOSTS, quoted
from allie.server.fleet.told import CLOCK, long_span
from allie.server.store import named_store
from allie.server.views import words

_MOST = 20  # concerns that are told
_OF_ONE = 3  # … of one PC alone, before those of all others
_SYSTEM, _VERSION, _WIDTH = 18, 9, 79  # letters of a column, and of a line
_LINES = 3  # of what a script last said
_SHOWN = (*ATTENTION, "paused")  # states that are told one by one, beside a group's line


class EqualSystems(Value):
    """Systems that stand alike, of any number of PCs."""

    system: str  # with its image, where that says more
    version: str  # ALLiE's, where it is not that of most; ""
    state: str
    reached: bool
    has: float  # where it has not been reached: the newest change that they have; 0: not known
    is_so_now: bool
    is_told: bool  # whether a tick of it was; of one on a partition of its own none is
    hosts: tuple[str, ...]
    drifted: int  # how many of them were changed by hand


class SharedConcern(Value):
    """One concern of any number of PCs."""

    concern: Concern
    system: str  # "": of the whole PC
    hosts: tuple[str, ...]
    since: tuple[float, ...]

    @property
    def todo(self) -> str:
        """What to do next: a line for a shell, of one PC or of all of them."""
        if len(self.hosts) == 1:
            return self.concern.todo(self.hosts[0])
        if self.concern.on_pc:
            hosts = shlex.quote(fold(self.hosts))
            return f"clush -bw {hosts} {quoted(self.concern.on_pc)}"
        one_only = self.concern.here.startswith("ls ")
        hosts = self.hosts[0] if one_only else " ".join(map(shlex.quote, divided(fold(self.hosts))))
        return self.concern.here.replace(HOSTS, hosts)


def lines(fleet: Fleet, whole: Fleet, *, drift: bool = False) -> list[str]:
    """The view. whole: with those who were not asked for; drift: with each path changed by hand."""
    found = _summary(fleet, len(whole.pcs))
    grouped = groups(fleet)
    found += _table(grouped, fleet.now) if grouped else []
    told = shared_concerns(fleet)
    for each in told[:_MOST]:
        found += ["", *_shared(each, fleet.store, fleet.now)]
    if len(told) > _MOST:
        found += ["", f"and {words.many(len(told) - _MOST, 'concern')} more: allie fleet --json"]
    found += _by_hand(fleet) if drift else []
    return [*found, *_offered(fleet), *_notes(fleet), *_without_inboxes(whole)]


def nobody(fleet: Fleet) -> list[str]:
    """What to do where no PC is expected yet."""
    return [
        f"no PC is expected in {fleet.store} yet",
        "  one is, once a class names it (etc/allie/classes in an overlay), or it is enrolled:",
        "  allie store setup, which says what to type on each PC; allie store enrol --scan HOSTS",
    ]


def needs_attention(fleet: Fleet) -> bool:
    """Whether something should be looked at."""
    return bool(fleet.troubles) or any(pc.state in ATTENTION for pc in fleet.pcs)


def groups(fleet: Fleet) -> list[EqualSystems]:
    """Equal systems together, the worst first, then the largest."""
    versions = Counter(each.told.version for pc in fleet.pcs for each in pc.systems)
    usual = versions.most_common(1)[0][0] if versions else ""
    found: dict[EqualSystems, list[Pc]] = {}
    for pc in fleet.pcs:
        for each in pc.systems:
            found.setdefault(_alike(each, usual), []).append(pc)
    together = [
        alike._replace(
            hosts=tuple(pc.host for pc in pcs), drifted=sum(bool(pc.drift) for pc in pcs)
        )
        for alike, pcs in found.items()
    ]
    return sorted(together, key=lambda each: (STATES.index(each.state), -len(each.hosts), each))


def _alike(view: SystemView, usual: str) -> EqualSystems:
    """The group of a system, without its members."""
    told = view.told
    system = told.name
    if told.image and told.image != told.name:
        system = told.image if told.image.startswith(told.name) else f"{told.name}: {told.image}"
    version = "" if told.version == usual else told.version
    has = 0.0 if view.reached else view.has // 60 * 60  # as it is shown
    return EqualSystems(
        system, version, view.state, view.reached > 0, has, view.is_so_now, told.tick > 0, (), 0
    )


def shared_concerns(fleet: Fleet) -> list[SharedConcern]:
    """What is not well, the worst first, then what most PCs have."""
    found: dict[tuple[object, ...], list[tuple[Pc, Concern]]] = {}
    for pc in fleet.pcs:
        for each in (each for each in pc.concerns if each.state in _SHOWN):
            found.setdefault((each.state, each.why, "", ""), []).append((pc, each))
        for view in pc.systems:
            for each in (each for each in view.concerns if each.state in _SHOWN):
                end = each.last.rstrip().rpartition("\n")[2]
                key = (each.state, each.why, end, view.told.name)
                found.setdefault(key, []).append((pc, each))
    together = [
        SharedConcern(
            all_of_it[0][1],
            str(key[3]),
            tuple(dict.fromkeys(pc.host for pc, _ in all_of_it)),
            tuple(concern.since for _, concern in all_of_it),
        )
        for key, all_of_it in found.items()
    ]
    together.sort(key=lambda each: (_rank(each), -len(each.hosts), each.hosts))
    return _no_one_first(together)


def _no_one_first(told: Iterable[SharedConcern]) -> list[SharedConcern]:
    """The same, but of what one PC alone has only so much before what others have."""
    alone: Counter[str] = Counter()
    first: list[SharedConcern] = []
    later: list[SharedConcern] = []
    for each in told:
        alone[each.hosts[0]] += len(each.hosts) == 1
        is_more = len(each.hosts) == 1 and alone[each.hosts[0]] > _OF_ONE
        (later if is_more else first).append(each)
    return first + later


def _rank(shared: SharedConcern) -> int:
    return STATES.index(shared.concern.state)


def _summary(fleet: Fleet, whole: int) -> list[str]:
    """How many PCs stand how, the best first; in as many lines as it takes."""
    counts = Counter(pc.state for pc in fleet.pcs)
    some = f"{len(fleet.pcs):,} of " if len(fleet.pcs) < whole else ""
    found, width = [f"{some}{words.many(whole, 'PC')}:"], 0
    for state in filter(counts.get, reversed(STATES)):
        text = f"{counts[state]:,} {state}"
        if width + len(text) > _WIDTH - 30:
            found, width = [*found[:-1], f"{found[-1]},", " "], 0
        found[-1] += f"{',' if width else ''} {paint(text, words.LOOKS[state])}"
        width += len(text) + 2
    return found


def _cells(group: EqualSystems, now: float) -> dict[str, str]:
    """What the columns say of a group. One that says nothing of any group is left out."""
    not_yet = f"has {words.when(group.has, now)}" if group.has else "not yet"
    not_yet = not_yet if group.is_told else "unknown"
    return {
        "SYSTEM": group.system[:_SYSTEM],
        "ALLIE": group.version[:_VERSION],
        "STATE": group.state,
        "REACHED": "yes" if group.reached else not_yet,
        "NOW": "yes" if group.is_so_now else "",
        "DRIFT": str(group.drifted or ""),
    }


def _table(grouped: Sequence[EqualSystems], now: float) -> list[str]:
    """A heading, and a line of each group; its hosts stand above it where they are many."""
    rows = [_cells(each, now) for each in grouped]
    names = [name for name in rows[0] if any(row[name] for row in rows)]
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in names}
    room = max(8, _WIDTH - sum(widths.values()) - 2 * len(widths))
    hosts = [words.wrapped(each.hosts, room, _WIDTH) for each in grouped]
    begins = [
        lines[0] if len(lines) == 1 else words.many(len(each.hosts), "PC")
        for each, lines in zip(grouped, hosts)
    ]
    first = max(5, *map(len, begins))
    titles = "  ".join([f"{'HOSTS':<{first}}", *(f"{name:<{widths[name]}}" for name in names)])
    found = [paint(titles.rstrip(), "dim")]
    for each, row, lines, begin in zip(grouped, rows, hosts, begins):
        found += words.wrapped(each.hosts, _WIDTH, 3) if len(lines) > 1 else []
        cells = {name: f"{row[name]:<{width}}" for name, width in widths.items()}
        cells["STATE"] = paint(cells["STATE"], words.LOOKS[each.state])
        found.append("  ".join([f"{begin:<{first}}", *cells.values()]).rstrip())
    return found


def _shared(shared: SharedConcern, store: str, now: float) -> list[str]:
    """One concern: how bad, where, what, for how long; its last lines; what to do next."""
    state = shared.concern.state
    first, *more = words.wrapped(shared.hosts, 60, 3)
    system = f" ({shared.system[:_SYSTEM]})" if shared.system else ""
    lines = [f"{first}{system}" if not more else first, *more[:-1]]
    lines += [f"{more[-1]}{system}"] if more else []
    found = [f"{paint(state, words.LOOKS[state])}  {lines[0]}"]
    found += [f"{'':{len(state)}}  {line}" for line in lines[1:]]
    why = f"{shared.concern.why} {words.spans(shared.since, now)}"
    found += [f"  {line}" for line in _broken(why)]
    found += [paint(f"  | {line[:75]}", "dim") for line in _last(shared.concern.last)]
    found += [f"  next: {shared.todo}"] if shared.todo else []
    if state == "stale":
        retire = f"allie store retire {shared.hosts[0]} --purge{named_store(store)}"
        found.append(f"  if it is gone for good: {retire}")
    return found


def _last(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.strip()][-_LINES:]


def _broken(text: str, width: int = 78) -> list[str]:
    """A text in lines of a width, broken at blanks."""
    one_line = " ".join(text.split())
    return wrap(one_line, width, break_long_words=False, break_on_hyphens=False)


def _by_hand(fleet: Fleet) -> list[str]:
    """Each path that was changed by hand, what of it, and where; the most frequent first."""
    found: dict[tuple[str, str], list[str]] = {}
    for pc in fleet.pcs:
        for view in pc.systems:
            for path in view.drift:
                kind = view.told.change.kinds.get(path, "changed")
                found.setdefault((path, kind), []).append(pc.host)
    order = sorted(found.items(), key=lambda each: (-len(each[1]), each[0]))
    return ["", "changed by hand, and put right since:"] + [
        f"  /{path} ({kind})  {words.wrapped(hosts, 60, 1)[0]}" for (path, kind), hosts in order
    ]


def _offered(fleet: Fleet) -> list[str]:
    """Which PCs offer what was mended on them by hand."""
    hosts = [pc.host for pc in fleet.pcs if pc.told and pc.told.fixes]
    if not hosts:
        return []
    where = words.wrapped(hosts, 60, 1)[0]
    made = "  a fix that was made there by hand"
    return ["", f"offered  {where}", made, f"  next: allie fleet adopt{named_store(fleet.store)}"]


def _notes(fleet: Fleet) -> list[str]:
    """What is odd about reports."""
    found: dict[str, list[str]] = {}
    for pc in fleet.pcs:
        for note in pc.told.notes if pc.told else ():
            found.setdefault(CLOCK if note.startswith(CLOCK) else note, []).append(pc.host)
    notes = sorted(found.items(), key=lambda each: -len(each[1]))
    shown = []
    for note, hosts in notes[:_MOST]:
        told = note if note != CLOCK else f"{CLOCK} wrong by {_skews(fleet, {*hosts})}"
        first, *more = _broken(f"{words.wrapped(hosts, 60, 1)[0]}: {told}", 72)
        shown += [f"note  {first}", *(f"      {line}" for line in more)]
    return ["", *shown] if shown else []


def _skews(fleet: Fleet, hosts: set[str]) -> str:
    """By how much the clocks of these hosts are wrong."""
    skews = [abs(pc.told.skew) for pc in fleet.pcs if pc.told and pc.host in hosts]
    least, most = long_span(min(skews)), long_span(max(skews))
    return least if least == most else f"{least} to {most}"


def _without_inboxes(fleet: Fleet) -> list[str]:
    """What makes reports come, where no PC can send one."""
    if any(pc.heard or "enrolled" in pc.expected_by for pc in fleet.pcs):
        return []
    mirror = mirror_state.read(fleet.store)
    if mirror:
        return ["", f"this store is a mirror: PCs report to {mirror.source}"]
    return [
        "",
        "no report has ever come: PCs send theirs by the ssh door, once enrolled there",
        "  allie store setup; allie store enrol --scan HOSTS; more in: allie help store",
    ]
