"""One overlay of N files, the servers that serve it, and every peer's root; the cases played on it.

A round plays each case with every peer in turn before the next case begins. After each run the root
is compared with what it must hold, and put right if the peer did not do it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench import daemon, overlay, root
from bench.overlay import Tree
from bench.peer import Peer, Site
from bench.sample import Sample, measure

SLOW = 60.0  # seconds: slower peers are left out,
LONG = 1.0  # and whose no-op takes longer than this plays one round
CASES = ("first", "after", "no-op", "changed", "drifted", "updated")
Key = tuple[int, str, str]  # files, peer, case
Results = dict[Key, list[Sample]]


@dataclass
class World:
    files: int
    directory: Path
    peers: list[Peer]
    sites: Mapping[str, Site]
    servers: Mapping[str, int]  # process ids, by the peer that each serves
    limit: float  # seconds that a run may take here
    tree: Tree
    edits: int = 0
    slow: dict[str, str] = field(default_factory=dict)  # peers, and what became of them

    @property
    def common(self) -> Path:
        return self.directory / "store/overlays/common"

    @property
    def source(self) -> Path:
        return self.directory / "source"

    def play(self, number: int, case: str, results: Results) -> None:
        """One case of one round, with every peer that has it."""
        peers = self.peers
        if case == "changed":
            self._edit()
        elif case == "updated":
            ours = [peer for peer in peers if peer.ours]
            if not ours:
                return
            self._settle(ours)
            peers = [*(peer for peer in peers if peer.result == "nothing"), *ours]
        turn = number % max(1, len(peers))
        for peer in [*peers[turn:], *peers[:turn]]:
            sample = self._run(peer, case, number)
            results.setdefault((self.files, peer.name, case), []).append(sample)
            self._judge(peer, sample, case)

    def _run(self, peer: Peer, case: str, number: int) -> Sample:
        site, drifted = self.sites[peer.name], []
        if peer.result == "nothing":
            return replace(self._measured(peer, case), round=number)
        if case == "first":
            _renew(peer, site)
        if case == "drifted":
            drifted = root.drift(site.root, overlay.plain_paths(self.tree), number)
        sample = self._measured(peer, case)
        wrong = [] if sample.late else self._wrong(peer, site)
        root.repair(site.root, self._expected(peer), wrong)
        if wrong and not set(wrong) <= set(drifted):
            print(f"{peer.name}, {case} of {self.files}: wrong: {wrong[:5]}", file=sys.stderr)
        return replace(sample, missed=len(wrong), round=number)

    def _measured(self, peer: Peer, case: str) -> Sample:
        site = self.sites[peer.name]
        log = site.state / "log"
        sample = measure(peer.argv(site, case), peer.environment(site), log, self.limit)
        if sample.status != 0 and not sample.late:
            tail = log.read_text(errors="replace")[-800:]
            said = f"{peer.name}, {case} of {self.files}: exit {sample.status}\n{tail}"
            print(said, file=sys.stderr)
        return sample

    def _expected(self, peer: Peer) -> Tree:
        return self.tree if peer.result == "raw" else overlay.resolved(self.tree)

    def _wrong(self, peer: Peer, site: Site) -> list[str]:
        found = []
        for place in ("", *peer.siblings):
            wrong = root.wrong(site.root / place, self._expected(peer))
            wrong += root.strays(site.root / place, self.tree) if peer.living else []
            found += [f"{place}/{path}" if place else path for path in wrong]
        return found

    def _edit(self) -> None:
        """Change files on the server, a second after any run: some peers compare whole seconds."""
        time.sleep(1.1)
        self.edits += 1
        before, self.tree = self.tree, overlay.edited(self.tree, self.edits)
        overlay.write(self.tree, self.common, before)
        overlay.write(overlay.resolved(self.tree), self.source, overlay.resolved(before))

    def _settle(self, peers: Sequence[Peer]) -> None:
        """Give the PCs a client that differs, and the ticks until they are at rest with it."""
        overlay.touch_archive(self.directory / "store/overlays/kit/usr/local/bin/allie")
        for _ in range(3):  # fetched by the old one, tried, looked at all
            for peer in peers:
                self._measured(peer, "no-op")

    def _judge(self, peer: Peer, sample: Sample, case: str) -> None:
        """Over the limit: no further case. A no-op that takes long: no further round (rest)."""
        seconds = f"{sample.wall / 1000:.0f} s or more a run at {self.files} files"
        if sample.late:
            self.peers = [other for other in self.peers if other is not peer]
            self.slow[peer.name] = f"{seconds}, left out there"
        elif case == "no-op" and sample.wall > LONG * 1000:
            self.slow[peer.name] = f"{seconds}, one round only there"

    def pull(self, peer: Peer, times: int) -> None:
        """No-op runs, for what they cost the server."""
        for _ in range(times):
            self._measured(peer, "no-op")

    def question(self, name: str) -> list[str]:
        """The rsync that a peer of ours starts in a no-op run; empty if it is not played.

        Of two runs the shorter one: a tick in 24 asks more.
        """
        found = [self._asked(peer) for peer in self.peers if peer.name == name for _ in range(2)]
        return min(found, key=len, default=[])

    def _asked(self, peer: Peer) -> list[str]:
        site = self.sites[peer.name]
        found: list[str] = []
        nothing = subprocess.DEVNULL
        argv, env = peer.argv(site, "no-op"), peer.environment(site)
        run = subprocess.Popen(argv, env=env, stdin=nothing, stdout=nothing, stderr=nothing)
        while run.poll() is None:
            found = found or daemon.command_line(f":{site.allie_port}/")
        return found

    def rest(self) -> None:
        """Let the slow ones go, after their one round."""
        self.peers = [peer for peer in self.peers if peer.name not in self.slow]


def _renew(peer: Peer, site: Site) -> None:
    """A fresh root and a fresh state, on disk before the clock runs."""
    if site.state.exists():
        shutil.rmtree(site.state)
    site.state.mkdir(parents=True)
    root.make(site.root, peer.living)
    peer.prepare(site)
    os.sync()
