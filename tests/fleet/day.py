"""A fleet through a simulated day: real clients, real doors, and what is so of each PC.

    with Day(top, 12) as day:
        for hour in day.hours():      # what happens in the hour happens, and all that are on tick
            assert day.wrong() == []  # what `allie fleet --json` says is what is so

What is real: the client, its ticks and reports, the store with its two doors (rsyncd, sshd), keys,
and the command line on the server. What is simulated: the hours (`tests.worlds.clock`), and a PC is
a root directory, whose client runs in a forked child instead of an interpreter of its own.

`python -m tests.fleet.day 200` plays it with 200 PCs; HACKING.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from allie.cli import fleet, join  # noqa: F401 - read before the first fork
from allie.cli import main as command_line
from allie.core.stubs import FETCHER
from allie.server.fleet.standing import ATTENTION
from tests.worlds import forked
from tests.worlds.busybox import busybox_root
from tests.worlds.clock import Clock
from tests.worlds.doors import Doors
from tests.worlds.toy import File, Tree, make_tree

HOUR, DAY = 3600.0, 24 * 3600.0
AT_ONCE = 3  # PCs that tick at the same time
MOTD, DISK, BAD = "etc/motd", "20disk", "30bad"
NEVER = "never01"  # it stands in the classes, and nobody ever saw it
_DISK = File(
    "#!/bin/sh\n# allie: every tick\n[ ! -e /etc/full ] || { echo no room on /; exit 7; }\n", 0o755
)
_BAD = File("#!/bin/sh\necho bad: no such option; exit 64\n", 0o755)
_CENTURY = 100 * 365 * DAY
# What becomes of a PC, by its number; what is not named is an ordinary one
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
    root: Path
    role: int
    is_on: bool = True
    is_cut: bool = False  # from the rsync door
    is_edited: bool = False  # since its last tick
    ahead: float = 0.0  # seconds that its clock is wrong
    now: Known = Known()
    told: Known | None = None  # what was so when it could last tell it

    def edit(self) -> None:
        """Somebody changes a file that the store has."""
        (self.root / MOTD).write_text("mine\n")
        self.is_edited = True

    def fill(self, full: bool) -> None:
        """Its disk is full, as one of its scripts finds; or no longer."""
        if full:
            (self.root / "etc/full").touch()
        else:
            (self.root / "etc/full").unlink()


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


class Day:
    """A store, its doors and its PCs; a context manager that shuts the doors."""

    def __init__(self, top: Path, count: int) -> None:
        self.clock = Clock()
        self.top = top
        self.hour = 0
        self.content, self.changed = 0, 0.0
        self.is_bad = self.is_empty = self.is_away = False
        self.doors = Doors(top / "store", top / "work")
        width = len(str(count - 1))
        self.pcs = [
            SimPC(f"pc{n:0{width}}", top / f"pc{n:0{width}}", n % ROLES) for n in range(count)
        ]
        for pc in self.pcs:
            pc.ahead = {FUTURE: 73 * 365 * DAY, PAST: -_CENTURY / 2}.get(pc.role, 0.0)
        hosts = f"pc[{0:0{width}}-{count - 1:0{width}}]"
        self._put({"etc/allie/classes": f"lab: {hosts} {NEVER}\n", f"root/conf/{DISK}": _DISK})
        self._edition(1)

    def __enter__(self) -> Day:
        self.doors.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.doors.stop()

    def hours(self) -> Iterator[int]:
        """Join all, and let the hours pass; yields each hour once all that are on have ticked."""
        self.joined()
        for hour in (*range(1, 25), 54, 120):
            self.clock.forward((hour - self.hour) * HOUR)
            self.hour = hour
            self._happens()
            self.tick()
            yield hour

    def joined(self) -> None:
        """All PCs join the store."""
        self._each(self.pcs, self._join)

    def tick(self) -> None:
        """All that are on tick."""
        self._each([pc for pc in self.pcs if pc.is_on], self._tick)

    def heard(self, pc: SimPC) -> float:
        """When a PC's last report arrived."""
        return self.clock.of(self._report(pc).stat().st_ctime)

    # --- what happens ----------------------------------------------------------------------------

    def _happens(self) -> None:
        """What is so from this hour on, in the store and of the PCs."""
        for hour, deed in self._deeds():
            if hour == self.hour:
                deed()

    def _deeds(self) -> Sequence[tuple[int, Callable[[], None]]]:
        return (
            (1, lambda: self._of(CUT, self._cut)),
            (2, lambda: self._edition(2)),
            (3, lambda: self._of(LEAVES, lambda pc: setattr(pc, "is_on", False))),
            (4, lambda: self._of(FULL, lambda pc: pc.fill(True))),
            (5, lambda: self._of(EDITED, SimPC.edit)),
            (6, lambda: self._of(CUT, SimPC.edit)),
            (7, lambda: self._of(FULL, lambda pc: pc.fill(False))),
            (7, lambda: self._of(NAMED, self._take_a_name)),
            (8, lambda: self._of(SLEEPS, lambda pc: setattr(pc, "is_on", False))),
            (9, lambda: self._bad(True)),
            (11, lambda: self._bad(False)),
            (12, lambda: self._of(SLEEPS, lambda pc: setattr(pc, "is_on", True))),
            (12, lambda: self._emptied(True)),
            (13, lambda: self._emptied(False)),
            (14, lambda: self._away(True)),
            (15, lambda: self._of(FULL, lambda pc: pc.fill(True))),
            (16, lambda: self._edition(3)),
            (17, lambda: self._away(False)),
            (18, lambda: self._of(CUT, self._mend)),
            (19, lambda: self._of(PAUSED, self._pause)),
            (20, lambda: self._edition(4)),
        )

    def _of(self, role: int, deed: Callable[[SimPC], object]) -> None:
        for pc in self.pcs:
            if pc.role == role:
                deed(pc)

    def _edition(self, number: int) -> None:
        """The store has something new for everybody."""
        self._changed()
        self._put({MOTD: "edition " + "I" * number + "\n"})  # each of its own size: for rsync

    def _changed(self) -> None:
        self.content, self.changed = self.content + 1, self.clock.now()

    def _bad(self, bad: bool) -> None:
        """A script that can only fail goes to everybody; or is taken back."""
        self.is_bad = bad
        self._changed()
        path = f"root/conf/{BAD}"
        if bad:
            self._put({path: _BAD})
        else:
            (self.doors.store / "overlays/common" / path).unlink()

    def _emptied(self, empty: bool) -> None:
        """By accident somebody moves all of an overlay away; then puts it back."""
        self.is_empty = empty
        self.changed = self.clock.now()
        common, aside = self.doors.store / "overlays/common", self.doors.store / "aside"
        if empty:
            common.rename(aside)
            common.mkdir()
        else:
            common.rmdir()
            aside.rename(common)

    def _away(self, away: bool) -> None:
        self.is_away = away
        if away:
            self.doors.stop()
        else:
            self.doors.start()

    def _cut(self, pc: SimPC) -> None:
        """A firewall between it and the rsync door: nobody answers there."""
        pc.is_cut = True
        self._in_conf(pc, self.doors.url, "rsync://127.0.0.1:9")

    def _mend(self, pc: SimPC) -> None:
        pc.is_cut = False
        self._in_conf(pc, "rsync://127.0.0.1:9", self.doors.url)

    def _in_conf(self, pc: SimPC, old: str, new: str) -> None:
        conf = pc.root / "etc/allie/allie.conf"
        conf.write_text(conf.read_text().replace(old, new))

    def _take_a_name(self, pc: SimPC) -> None:
        """It says that it is another: the first one."""
        (pc.root / "etc/hostname").write_text(f"{self.pcs[0].host}\n")

    def _pause(self, pc: SimPC) -> None:
        self._allie(pc, "pause", "somebody works here")
        pc.now = replace(pc.now, paused=True)

    def _put(self, tree: Tree) -> None:
        make_tree(self.doors.store / "overlays/common", tree)

    # --- a PC's part -----------------------------------------------------------------------------

    def _join(self, pc: SimPC) -> Callable[[], int]:
        key = self.doors.enrol(pc.host)
        busybox_root(pc.root, {"etc/hostname": f"{pc.host}\n", "etc/ssh/x": ""})
        for ending in ("", ".pub"):
            shutil.copy(f"{key}{ending}", pc.root / f"etc/ssh/ssh_host_ed25519_key{ending}")
        own = f"ssh://127.0.0.1:{self.doors.ssh_port}"
        self._so(pc)
        return self._work(pc, "join", self.doors.url, "--own", own, "--no-timer")

    def _tick(self, pc: SimPC) -> Callable[[], int]:
        self._so(pc)
        return self._work(pc, "run-conf")

    def _so(self, pc: SimPC) -> None:
        """What is so once its tick is over, and is known if it can tell it."""
        was, content = pc.now, pc.now.content
        good, failing, refused, drift = was.good, was.failing, was.refused, was.drift
        if not (self.is_away or pc.is_cut):
            refused = self.is_empty
            good = good if refused else self.clock.now()
            content = content if refused or was.paused else self.content
        if not was.paused:
            drift = frozenset() if content != was.content else drift
            drift = frozenset({MOTD}) if pc.is_edited else drift
            full = (pc.root / "etc/full").exists()
            bad = self.is_bad if content == self.content else BAD in was.failing
            failing = frozenset([DISK] * full + [BAD] * bad)
            pc.is_edited = False
        pc.now = Known(content, good, failing, refused, was.paused, drift)
        if not self.is_away:
            pc.told = pc.now

    def _work(self, pc: SimPC, *words: str) -> Callable[[], int]:
        return self.clock.on_a_pc(forked.work(pc.root, *words), pc.ahead)

    def _allie(self, pc: SimPC, *words: str) -> None:
        def only(pc: SimPC) -> Callable[[], int]:
            return self._work(pc, *words)

        self._each([pc], only)

    def _each(self, pcs: Sequence[SimPC], job: Callable[[SimPC], Callable[[], int]]) -> None:
        """Have a job done on each PC, a few at a time."""
        running: list[int] = []
        for pc in pcs:
            work = job(pc)
            while len(running) >= AT_ONCE:
                os.waitpid(running.pop(0), 0)
            running.append(_forked(work, pc.root.with_suffix(".log")))
        for pid in running:
            os.waitpid(pid, 0)

    # --- the server's part -----------------------------------------------------------------------

    def wrong(self) -> list[str]:
        """What `allie fleet --json` says, and is not so; or does not say."""
        status, text = self.ask("--json")
        said = {each["host"]: each for each in json.loads(text)["pcs"]}
        expected = {pc.host: self.is_so(pc) for pc in self.pcs}
        if not self.is_empty:
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

    def is_so(self, pc: SimPC) -> Seen:
        """How a PC has to be shown now, from all that it could tell."""
        now, told = self.clock.now(), pc.told
        if told is None:
            return Seen("missing")
        heard = self.heard(pc)
        has_it = told.content == self.content and told.good >= self.changed
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
        return Seen(state, has_it, told.drift, told.failing | own)

    def _report(self, pc: SimPC) -> Path:
        return self.doors.store / "inbox" / pc.host / "report"

    def ask(self, *words: str) -> tuple[int, str]:
        """`allie fleet` with these words: its exit status, and what it prints."""
        argv = ["--store", str(self.doors.store), "fleet", *words]
        work = self.clock.on_the_server(lambda: command_line.main(argv))
        out = self.top / "fleet.out"
        status = os.waitpid(_forked(work, out), 0)[1]
        return os.waitstatus_to_exitcode(status), out.read_text()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("pcs", type=int, nargs="?", default=200)
    count = parser.parse_args().pcs
    wrong: list[str] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="allie-day-") as top, Day(Path(top), count) as day:
        for hour in day.hours():
            found = day.wrong()
            wrong += found
            states = Counter(day.is_so(pc).state for pc in day.pcs)
            told = " ".join(f"{state} {number}" for state, number in sorted(states.items()))
            seconds = time.monotonic() - began
            print(f"{hour:3}:00 {seconds:5.0f} s  {told}  {len(found) or 'none'} wrong", flush=True)
            for line in found[:20]:
                print(f"    {line}", flush=True)
    return 1 if wrong else 0


def _forked(work: Callable[[], int], output: Path) -> int:
    """Have a forked child work; its process id."""
    with output.open("wb") as file:
        pid = os.fork()
        if not pid:
            forked.become(work, file.fileno())
        return pid


if __name__ == "__main__":
    sys.exit(main())
