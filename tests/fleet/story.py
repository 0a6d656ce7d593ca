"""What happens to a fleet in a simulated day, what is so of each PC, and what is said of it.

The day is the same for real PCs (tests/fleet/day.py) and for generated ones (generated.py): those
say what it means that a PC joins, ticks, or is edited. Here is what is known of it: a small model
of a PC and its store, which shares no code with the fleet that it judges.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from allie.cli import fleet  # noqa: F401 - read before the first fork
from allie.cli import main as command_line
from allie.core.stubs import FETCHER
from allie.server import store as stores
from allie.server.fleet.standing import ATTENTION
from allie.server.history import notes
from tests.worlds import forked
from tests.worlds.clock import Clock
from tests.worlds.toy import File, Tree, make_tree

HOUR, DAY = 3600.0, 24 * 3600.0
MOTD, DISK, BAD = "etc/motd", "20disk", "30bad"
NEVER = "never01"  # it stands in the classes, and nobody ever saw it
_DISK = File(
    "#!/bin/sh\n# allie: every tick\n[ ! -e /etc/full ] || { echo no room on /; exit 7; }\n", 0o755
)
_BAD = File("#!/bin/sh\necho bad: no such option; exit 64\n", 0o755)
_CENTURY = 100 * 365 * DAY
# What becomes of a PC, by its number; all others are ordinary ones
PLAIN, LEAVES, SLEEPS, FULL, EDITED, FUTURE, PAST, PAUSED, CUT, NAMED = range(10)
ROLES = 10


@dataclass(frozen=True)
class Known:
    """What is so of a PC after a tick."""

    content: int = 0  # what the store had, by number, when it last followed it
    good: float = 0.0  # when the store last answered, and what it had was taken
    failing: frozenset[str] = frozenset()
    refused: bool = False
    paused: bool = False
    drift: frozenset[str] = frozenset()


@dataclass
class SimPC:
    """One PC."""

    host: str
    role: int
    is_on: bool = True
    is_cut: bool = False  # from the rsync door
    is_edited: bool = False  # since its last tick
    is_full: bool = False
    name: str = ""  # what it says that it is called
    ahead: float = 0.0  # seconds that its clock is wrong
    now: Known = Known()
    told: Known | None = None  # what was so when it could last tell it


class Seen(NamedTuple):
    """How a PC is shown."""

    state: str
    reached: bool = False
    drift: frozenset[str] = frozenset()
    failing: frozenset[str] = frozenset()

    @classmethod
    def of(cls, said: dict[str, Any]) -> Seen:
        """What is said of it in JSON."""
        if not said["systems"]:
            return cls(said["state"])
        (own,) = said["systems"]
        failing = {each["name"] for each in own["scripts"] if each["state"] == "failing"}
        return cls(said["state"], own["reached"] > 0, frozenset(own["drift"]), frozenset(failing))


class Story:
    """A store, its PCs, and their day."""

    def __init__(self, top: Path, count: int, roles: int = ROLES) -> None:
        """roles: one PC in so many is of each kind."""
        self.clock = Clock()
        self.top, self.store = top, top / "store"
        stores.init(str(self.store))
        self.hour = 0
        self.content, self.changed = 0, 0.0
        self.is_bad = self.is_empty = self.is_away = False
        width = len(str(count - 1))
        names = [f"pc{number:0{width}}" for number in range(count)]
        self.pcs = [SimPC(name, at % roles, name=name) for at, name in enumerate(names)]
        for pc in self.pcs:
            pc.ahead = {FUTURE: 73 * 365 * DAY, PAST: -_CENTURY / 2}.get(pc.role, 0.0)
        hosts = f"pc[{0:0{width}}-{count - 1:0{width}}]"
        self._put({"etc/allie/classes": f"lab: {hosts} {NEVER}\n", f"root/conf/{DISK}": _DISK})
        self._edition(1)

    # --- what a kind of day says of its PCs ------------------------------------------------------

    def join(self, pcs: Sequence[SimPC]) -> None:
        """PCs join the store. `becomes` has said what is so after it."""
        raise NotImplementedError

    def run(self, pcs: Sequence[SimPC]) -> None:
        """PCs tick."""
        raise NotImplementedError

    def altered(self, pc: SimPC) -> None:
        """Something is otherwise on a PC now: is_cut, is_edited, is_full, its name."""

    def pause(self, pc: SimPC) -> None:
        """Its ticks only report from now on."""

    def shut(self, away: bool) -> None:
        """The server goes away, or comes back."""

    # --- what happens ----------------------------------------------------------------------------

    def hours(self) -> Iterator[int]:
        """Join all, and let the hours pass; yields each hour once all that are on have ticked."""
        self.joined()
        for hour in (*range(1, 25), 54, 120):
            self.clock.forward((hour - self.hour) * HOUR)
            self.hour = hour
            for at, deed in self._deeds():
                if at == hour:
                    deed()
            self.tick()
            yield hour

    def joined(self) -> None:
        """All PCs join the store."""
        for pc in self.pcs:
            self.becomes(pc)
        self.join(self.pcs)

    def tick(self) -> None:
        """All that are on tick."""
        on = [pc for pc in self.pcs if pc.is_on]
        for pc in on:
            self.becomes(pc)
        self.run(on)

    def _deeds(self) -> Sequence[tuple[int, Callable[[], None]]]:
        return (
            (1, lambda: self._each(CUT, is_cut=True)),
            (2, lambda: self._edition(2)),
            (3, lambda: self._each(LEAVES, is_on=False)),
            (4, lambda: self._each(FULL, is_full=True)),
            (5, lambda: self._each(EDITED, is_edited=True)),
            (6, lambda: self._each(CUT, is_edited=True)),
            (7, lambda: self._each(FULL, is_full=False)),
            (7, lambda: self._each(NAMED, name=self.pcs[0].host)),
            (8, lambda: self._each(SLEEPS, is_on=False)),
            (9, lambda: self._bad(True)),
            (11, lambda: self._bad(False)),
            (12, lambda: self._each(SLEEPS, is_on=True)),
            (12, lambda: self._emptied(True)),
            (13, lambda: self._emptied(False)),
            (14, lambda: self._away(True)),
            (15, lambda: self._each(FULL, is_full=True)),
            (16, lambda: self._edition(3)),
            (17, lambda: self._away(False)),
            (18, lambda: self._each(CUT, is_cut=False)),
            (19, self._paused),
            (20, lambda: self._edition(4)),
        )

    def _each(self, role: int, **becomes: object) -> None:
        """From now on something else is so of the PCs with this role."""
        for pc in self.pcs:
            if pc.role == role:
                for name, value in becomes.items():
                    setattr(pc, name, value)
                self.altered(pc)

    def _paused(self) -> None:
        for pc in self.pcs:
            if pc.role == PAUSED:
                pc.now = replace(pc.now, paused=True)
                self.pause(pc)

    def _edition(self, number: int) -> None:
        """The store has something new for everybody."""
        self._has_news()
        self._put({MOTD: "edition " + "I" * number + "\n"})  # each of its own size: for rsync

    def _has_news(self) -> None:
        self.content, self.changed = self.content + 1, self.clock.now()

    def _bad(self, bad: bool) -> None:
        """A script that can only fail goes to everybody; or is taken back."""
        self.is_bad = bad
        self._has_news()
        path = f"root/conf/{BAD}"
        if bad:
            self._put({path: _BAD})
        else:
            (self.store / "overlays/common" / path).unlink()

    def _emptied(self, empty: bool) -> None:
        """By accident somebody moves all of an overlay away; then puts it back."""
        self.is_empty = empty
        self.changed = self.clock.now()
        common, aside = self.store / "overlays/common", self.store / "aside"
        if empty:
            common.rename(aside)
            common.mkdir()
        else:
            common.rmdir()
            aside.rename(common)

    def _away(self, away: bool) -> None:
        self.is_away = away
        self.shut(away)

    def _put(self, tree: Tree) -> None:
        make_tree(self.store / "overlays/common", tree)

    # --- what is so ------------------------------------------------------------------------------

    def becomes(self, pc: SimPC) -> None:
        """What is so of a PC once its tick is over, and is known if it can tell it."""
        was, content = pc.now, pc.now.content
        good, failing, refused, drift = was.good, was.failing, was.refused, was.drift
        if not (self.is_away or pc.is_cut):
            refused = self.is_empty
            good = good if refused else self.clock.now()
            content = content if refused or was.paused else self.content
        if not was.paused:
            drift = frozenset() if content != was.content else drift
            drift = frozenset({MOTD}) if pc.is_edited else drift
            bad = self.is_bad if content == self.content else BAD in was.failing
            failing = frozenset([DISK] * pc.is_full + [BAD] * bad)
            pc.is_edited = False
        pc.now = Known(content, good, failing, refused, was.paused, drift)
        if not self.is_away:
            pc.told = pc.now

    def is_so(self, pc: SimPC) -> Seen:
        """How a PC has to be shown now, from all that it could tell."""
        now, told = self.clock.now(), pc.told
        if told is None:
            return Seen("missing")
        heard = self.heard(pc)
        holds = {
            "stale": now - heard > 3 * DAY,
            "failing": bool(told.failing),
            "refused": told.refused,
            "paused": told.paused,
            "behind": pc.is_cut and told.good < self.changed < heard,
            "off": now - heard > 26 * HOUR,
            "current": True,
        }
        state = next(each for each in holds if holds[each])
        own = {FETCHER} if told.refused else set()
        return Seen(state, self.has_it(pc), told.drift, told.failing | own)

    def has_it(self, pc: SimPC) -> bool:
        """Whether what the store has now had arrived on a PC, as far as it could tell."""
        told = pc.told
        return bool(told and told.content == self.content and told.good >= self.changed)

    def report(self, pc: SimPC) -> Path:
        """Where a PC's report arrives."""
        return self.store / "inbox" / pc.host / "report"

    def heard(self, pc: SimPC) -> float:
        """When a PC's last report arrived."""
        return self.clock.of(self.report(pc).stat().st_ctime)

    # --- what is said ----------------------------------------------------------------------------

    def ask(self, *words: str) -> tuple[int, str]:
        """`allie fleet` with these words: its exit status, and what it prints."""
        argv = ["--store", str(self.store), "fleet", *words]
        work = self.clock.on_the_server(lambda: command_line.main(argv))
        out = self.top / "fleet.out"
        status = os.waitpid(begun(work, out), 0)[1]
        return os.waitstatus_to_exitcode(status), out.read_text()

    def wrong(self) -> list[str]:
        """What `allie fleet --json` says, and is not so; or does not say."""
        status, text = self.ask("--json")
        said = {each["host"]: each for each in json.loads(text)["pcs"]}
        expected = {pc.host: self.is_so(pc) for pc in self.pcs}
        if not self.is_empty:  # the classes stand in what was emptied
            expected[NEVER] = Seen("missing")
        found = {host: Seen.of(each) for host, each in said.items()}
        differ = [
            f"{self.hour}:00 {host}: {expected.get(host)} is so, {found.get(host)} is said: "
            f"{said.get(host, {}).get('why')}"
            for host in sorted({*expected, *found})
            if expected.get(host) != found.get(host)
        ]
        needs = any(each.state in ATTENTION for each in expected.values())
        return differ + [f"exit {status}"] * (status != int(needs))

    def miscounted(self) -> list[str]:
        """What the history says of how many stand how, and have the last change; and is not so."""
        status, text = self.ask("--metrics", str(self.top / "fleet.prom"))
        said = notes.counts(str(self.store))[-1]
        states = Counter(self.is_so(pc).state for pc in self.pcs)
        states.update(["missing"] * (not self.is_empty))
        found = {state: number for state, number in said.states.items() if number}
        wrong = [] if found == dict(states) else [f"{dict(states)} is so, {found} is said"]
        if not self.is_empty:
            arrived = sum(self.has_it(pc) for pc in self.pcs)
            if said.reached["common"] != arrived:
                wrong.append(f"{arrived} have it, {said.reached['common']} is said")
        return wrong + ([text] if status else [])

    def told(self) -> Iterator[tuple[str, list[str]]]:
        """Of each hour: a line for who watches, and what is wrong."""
        began = time.monotonic()
        for hour in self.hours():
            wrong = [*self.wrong(), *self.miscounted()]
            states = Counter(self.is_so(pc).state for pc in self.pcs)
            words = " ".join(f"{state} {number}" for state, number in sorted(states.items()))
            seconds = time.monotonic() - began
            yield f"{hour:3}:00 {seconds:5.0f} s  {words}  {len(wrong) or 'none'} wrong", wrong


def watched(hours: Iterable[tuple[str, list[str]]]) -> int:
    """Print what becomes of a day; its exit status."""
    failed = 0
    for line, wrong in hours:
        print("\n    ".join([line, *wrong[:20]]), flush=True)
        failed += len(wrong)
    return int(failed > 0)


def begun(work: Callable[[], int], output: Path) -> int:
    """Have a forked child work; its process id."""
    with output.open("wb") as file:
        pid = os.fork()
        if not pid:
            forked.become(work, file.fileno())
        return pid
