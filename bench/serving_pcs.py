"""The PCs of bench/serving.py: small roots with the real client, and what their ticks came to.

Each has a name of its own (`host` in its allie.conf), and so an order of its own in which it asks
the servers. A tick is what its timer would start: `/root/conf/run-conf`, in its root.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from bench import root
from bench.peer import PATH

CLIENT = "usr/local/bin/allie"
MARK = "etc/edition"  # its content is a number, which only grows in the store
_WORKERS = 2
_ENVIRONMENT = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8"}


@dataclass
class Tick:
    """How one tick ended."""

    host: str
    status: int
    wall: float  # ms
    cpu: float  # ms, with children
    edition: int
    said: str = ""


@dataclass
class Phase:
    """Some ticks in one situation."""

    name: str
    ticks: list[Tick] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)  # connections, by server

    @property
    def failed(self) -> list[Tick]:
        return [tick for tick in self.ticks if tick.status]


class PC:
    """One PC."""

    def __init__(self, work: Path, host: str) -> None:
        self.host, self.root = host, work / host
        self.edition = 0

    def join(self, store: Path, urls: Sequence[str]) -> None:
        """Make it: it joins the first of the servers that it is told of, and then knows all."""
        root.make(self.root, True)
        client = self.root / CLIENT
        client.write_bytes((store / "overlays/kit" / CLIENT).read_bytes())
        client.chmod(0o755)
        words = ["--overlays", "kit,common", "--host", self.host, "--no-timer"]
        joined = self._run(f"/{CLIENT}", "join", urls[0], *words)
        if joined.status:
            raise RuntimeError(f"{self.host} does not join: {joined.said}")
        conf = self.root / "etc/allie/allie.conf"
        conf.write_text(conf.read_text().replace(urls[0], ", ".join(urls)))
        for _ in range(3):  # until it is at rest
            self.tick()

    def tick(self) -> Tick:
        return self._run("/root/conf/run-conf")

    def _run(self, *argv: str) -> Tick:
        log = self.root.with_suffix(".log")
        with log.open("wb") as output:
            began = time.perf_counter()
            run = subprocess.Popen(
                ["chroot", str(self.root), *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=_ENVIRONMENT,
                cwd="/",
            )
            _, status, usage = os.wait4(run.pid, 0)
            run.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - began
        cpu = usage.ru_utime + usage.ru_stime
        said = log.read_text(errors="replace")[-400:]
        mark = self.root / MARK
        self.edition = int(mark.read_text()) if mark.exists() else 0
        return Tick(self.host, run.returncode, wall * 1000, cpu * 1000, self.edition, said)


def made(work: Path, names: Sequence[str], store: Path, urls: Sequence[str]) -> list[PC]:
    """PCs that have joined, and are at rest."""
    pcs = [PC(work, name) for name in names]
    with ThreadPoolExecutor(_WORKERS) as pool:
        list(pool.map(lambda pc: pc.join(store, urls), pcs))
    return pcs


def play(
    name: str,
    pcs: Sequence[PC],
    counts: Callable[[], list[int]],
    midway: Callable[[], None] | None = None,
) -> Phase:
    """A tick of each PC, two at a time. midway: done after half of them, while others run."""
    before, half = counts(), len(pcs) // 2
    phase = Phase(name)

    def one(place: int) -> Tick:
        if midway and place == half:
            midway()
        return pcs[place].tick()

    with ThreadPoolExecutor(_WORKERS) as pool:
        phase.ticks = list(pool.map(one, range(len(pcs))))
    phase.asked = [now - then for now, then in zip(counts(), before)]
    return phase
