"""The cases, played: each way brings the image, has nothing to do, and brings the upgrade.

A round plays all cases with one way before the next one, in an order that moves on: a PC's disk
need not hold the trees of all of them. After each case the tree is compared with the image.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import daemon, root, wire
from bench.image_peers import ALLIE, IMAGE, RSYNC, Place, Way
from bench.image_store import NEW, OLD, Servers, Store
from bench.peer import PATH
from bench.sample import Sample, measure

FIRST, NO_OP, UPDATE = CASES = ("first", "no-op", "update")
FEW, MANY = 2_000, 40_000  # files
_LIMIT = 240.0  # seconds that a case may take
_LONG = 25.0  # whose cases take longer in all plays one round only
# What ALLiE places in a system, and what it makes a PC's own
_OURS = """\
/etc/allie /root/conf /root/util /root/done /usr/local/bin/allie /var/lib/allie /var/log/allie
/etc/systemd/system/allie* /etc/fstab /etc/hostname /etc/hosts /etc/machine-id /etc/adjtime
/etc/localtime /etc/timezone /etc/ssh/ssh_host_* /var/lib/dbus/machine-id
/dev/* /proc/* /sys/* /run/*""".split()


@dataclass(frozen=True)
class Run:
    """One case, once."""

    sample: Sample
    server: float  # ms of CPU
    sent: int  # bytes, both ways
    wrong: int = 0  # files that are not as the image has them

    @property
    def ended(self) -> bool:
        return self.sample.status == 0 and not self.sample.late


Results = dict[tuple[str, str], list[Run]]  # by way and case
Memory = dict[tuple[str, int], float]  # MB, by way and files


@dataclass
class Play:
    """The play's place and its servers."""

    work: Path
    store: Store
    servers: Servers
    long: set[str] = field(default_factory=set)

    def rounds(self, ways: Sequence[Way], rounds: int) -> Results:
        """All rounds; the first fetch of all warms up."""
        found: Results = {}
        place = self._place(ways[0], IMAGE)
        self._measured(ways[0], place, FIRST)
        root.remove(place.own)
        for number in range(rounds):
            began = time.monotonic()
            turn = number * 2 % len(ways)
            for way in [*ways[turn:], *ways[:turn]]:
                if number == 0 or way.name not in self.long:
                    self._way(way, found)
            spent = time.monotonic() - began
            print(f"round {number + 1} of {rounds}: {spent:.0f} s", file=sys.stderr)
        return found

    def memory(self, ways: Sequence[Way]) -> Memory:
        """The peak of a first fetch, of few and of many files."""
        found = {}
        for way in ways:
            for files in (FEW, MANY):
                place = self._place(way, f"files-{files}")
                run = self._measured(way, place, FIRST)
                if run and run.sample.status == 0:
                    found[way.name, files] = run.sample.rss
                root.remove(place.own)
        return found

    def _way(self, way: Way, found: Results) -> None:
        place = self._place(way, IMAGE)
        try:
            for case in CASES:
                self.store.show(NEW if case == UPDATE else OLD)
                run = self._measured(way, place, case)
                if run:
                    found.setdefault((way.name, case), []).append(self._judged(run, way, place))
        finally:
            runs = [found[key][-1] for key in found if key[0] == way.name]
            if sum(run.sample.wall for run in runs) > _LONG * 1000:
                self.long.add(way.name)
            self.store.show(OLD)
            root.remove(place.own)

    def _place(self, way: Way, image: str) -> Place:
        """A fresh one, with nothing left to write to the disk."""
        place = Place(self.work / "pc", self.servers.ports, image)
        root.remove(place.own)
        place.state.mkdir(parents=True)
        if way.living:
            root.make(place.base, True)
        else:
            place.base.mkdir()
        way.prepare(place)
        subprocess.run(["sync", "-f", str(place.own)], check=True)
        return place

    def _measured(self, way: Way, place: Place, case: str) -> Run | None:
        argv = way.argv(place, case)
        if argv is None:
            return None
        env = {"PATH": PATH, "HOME": str(place.state), "LANG": "C.UTF-8"}
        log = place.own / "log"
        pid = self.servers.pids[way.server]
        spent, sent = daemon.cpu(pid), wire.passed()
        sample = measure(argv, env, log, _LIMIT)
        sent = wire.passed() - sent
        time.sleep(0.2)  # the server waits for its last child
        spent = daemon.cpu(pid) - spent
        if sample.status != 0:
            tail = log.read_text(errors="replace")[-800:]
            print(f"{way.name}, {case}: exit {sample.status}\n{tail}", file=sys.stderr)
        return Run(sample, spent, sent)

    def _judged(self, run: Run, way: Way, place: Place) -> Run:
        """The same, with how many files are wrong: by content, mode, owner, ACL and attributes."""
        flags = ["-nrlpgoDHAXc", "--numeric-ids", "--delete", "--out-format=%i %n"]
        flags += [f"--exclude={path}" for path in _OURS]
        trees = [f"{self.store.tree(self.store.shown)}/", f"{place.tree}/"]
        done = subprocess.run(
            ["rsync", *flags, *trees], stdout=subprocess.PIPE, text=True, check=False
        )
        wrong = done.stdout.splitlines()
        if wrong or done.returncode:
            print(f"{way.name}: wrong: {len(wrong)}: {wrong[:5]}", file=sys.stderr)
        return Run(run.sample, run.server, run.sent, len(wrong) + bool(done.returncode))


def flat(ways: Sequence[Way]) -> list[Way]:
    """Those whose memory is looked at."""
    return [way for way in ways if way.name in (RSYNC, ALLIE)]
