"""A fleet through a simulated day: real clients, real doors, and what is so of each PC.

    with Day(top, 10) as day:
        for hour in day.hours():      # what happens in the hour happens, and all that are on tick
            assert day.wrong() == []  # what `allie fleet --json` says is what is so

What is real: the client, its ticks and reports, the store with its two doors (rsyncd, sshd), keys,
and the command line on the server. What is simulated: the hours (`tests.worlds.clock`), and a PC is
a root directory, whose client runs in a forked child instead of an interpreter of its own.

`python -m tests.fleet.day 200` plays it with 200 PCs: half an hour.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from allie.cli import join, pause  # noqa: F401 - read before the first fork
from tests.fleet.story import MOTD, SimPC, Story, begun, watched
from tests.worlds import forked
from tests.worlds.busybox import busybox_root
from tests.worlds.doors import Doors

AT_ONCE = 3  # PCs that tick at the same time
_NOWHERE = "rsync://127.0.0.1:9"


class Day(Story):
    """A store, its doors and its PCs; a context manager that shuts the doors."""

    def __init__(self, top: Path, count: int) -> None:
        self.doors = Doors(top / "store", top / "work")
        super().__init__(top, count)

    def __enter__(self) -> Day:
        self.doors.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.doors.stop()

    def join(self, pcs: Sequence[SimPC]) -> None:
        def one(pc: SimPC) -> Callable[[], int]:
            key, root = self.doors.enrol(pc.host), self.root(pc)
            busybox_root(root, {"etc/hostname": f"{pc.host}\n", "etc/ssh/x": ""})
            for ending in ("", ".pub"):
                shutil.copy(f"{key}{ending}", root / f"etc/ssh/ssh_host_ed25519_key{ending}")
            own = f"ssh://127.0.0.1:{self.doors.ssh_port}"
            return self._work(pc, "join", self.doors.url, "--own", own, "--no-timer")

        self._on(pcs, one)

    def run(self, pcs: Sequence[SimPC]) -> None:
        self._on(pcs, lambda pc: self._work(pc, "run-conf"))

    def pause(self, pc: SimPC) -> None:
        self._on([pc], lambda pc: self._work(pc, "pause", "somebody works here"))

    def altered(self, pc: SimPC) -> None:
        etc = self.root(pc) / "etc"
        (etc / "hostname").write_text(f"{pc.name}\n")
        if pc.is_full:
            (etc / "full").touch()
        else:
            (etc / "full").unlink(missing_ok=True)
        if pc.is_edited:
            (self.root(pc) / MOTD).write_text("mine\n")
        conf = etc / "allie/allie.conf"  # a firewall between it and the rsync door
        old, new = (self.doors.url, _NOWHERE) if pc.is_cut else (_NOWHERE, self.doors.url)
        if old in conf.read_text():
            conf.write_text(conf.read_text().replace(old, new))

    def shut(self, away: bool) -> None:
        if away:
            self.doors.stop()
        else:
            self.doors.start()

    def root(self, pc: SimPC) -> Path:
        """A PC's root."""
        return self.top / pc.host

    def _work(self, pc: SimPC, *words: str) -> Callable[[], int]:
        return self.clock.on_a_pc(forked.work(self.root(pc), *words), pc.ahead)

    def _on(self, pcs: Sequence[SimPC], job: Callable[[SimPC], Callable[[], int]]) -> None:
        """Have a job done on each PC, a few at a time."""
        running: list[int] = []
        for pc in pcs:
            work = job(pc)
            while len(running) >= AT_ONCE:
                os.waitpid(running.pop(0), 0)
            running.append(begun(work, self.root(pc).with_suffix(".log")))
        for pid in running:
            os.waitpid(pid, 0)


def main() -> int:
    count = int((sys.argv[1:] or ["200"])[0])
    with tempfile.TemporaryDirectory(prefix="allie-day-") as top, Day(Path(top), count) as day:
        return watched(day.told())


if __name__ == "__main__":
    sys.exit(main())
