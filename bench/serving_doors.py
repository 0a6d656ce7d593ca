"""What one connection costs the server: a tick with nothing to do, and a first fetch."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from allie.server import store_conf
from allie.server.doors import rsyncd_conf
from bench.inetd import Inetd, Served
from bench.peer import PATH
from bench.serving_pcs import PC

RSYNC, PLAIN = "rsync door", "plain `rsync -a`"
TICK, JOIN, IMAGE = (
    "tick with nothing to do",
    "first fetch of the overlays",
    "first fetch of 200 MB",
)
ROUNDS = 30
_ADDRESS, _PLAIN_ADDRESS = "127.0.0.31", "127.0.0.32"
_PLAIN = "uid = 0\ngid = 0\nread only = yes\n[overlays]\npath = {0}/overlays\n"
_FILES, _SIZE = 2000, 100_000


@dataclass
class Costs:
    """Connections by door and by what was asked."""

    served: dict[tuple[str, str], list[Served]] = field(default_factory=dict)

    def cpu(self, door: str, what: str) -> float:
        return median(each.cpu for each in self.served[door, what])

    def memory(self, door: str, what: str) -> float:
        return max(each.memory for each in self.served[door, what])

    def wall(self, door: str, what: str) -> float:
        return median(each.wall for each in self.served[door, what])

    def against(self, door: str, other: str, what: str) -> float:
        """How many times the other's CPU: of all rounds, since each is a few ticks of a clock."""
        own, others = (sum(each.cpu for each in self.served[by, what]) for by in (door, other))
        return own / others


def costs(store: Path, like: PC, work: Path) -> Costs:
    """Play them, the peers in turns. like: a PC; these are made as it was."""
    image(store / "images/toy1")
    found = Costs()
    conf, plain = work / "direct.conf", work / "plain.conf"
    rules = store_conf.read(str(store))
    conf.write_text(rsyncd_conf.foreground(str(store), "", 873, rules, f"{work}/direct.lock"))
    plain.write_text(_PLAIN.format(store))
    argv = ["rsync", "--daemon", "--config"]
    with (
        Inetd(_ADDRESS, 873, [*argv, str(conf)]) as door,
        Inetd(_PLAIN_ADDRESS, 873, [*argv, str(plain)]) as other,
    ):
        pc = PC(like.root.parent, "direct")
        pc.join(store, [f"rsync://{_ADDRESS}"])
        found.served[RSYNC, JOIN] = [max(_taken(door), key=lambda each: each.cpu)]
        pull = ["rsync", "-a", f"rsync://{_PLAIN_ADDRESS}/overlays/", f"{work}/pulled/"]
        subprocess.run(pull, check=True)
        _taken(other)
        for _ in range(ROUNDS):
            assert pc.tick().status == 0
            found.served.setdefault((RSYNC, TICK), []).extend(_taken(door))
            subprocess.run(pull, check=True)
            found.served.setdefault((PLAIN, TICK), []).extend(_taken(other))
        argv = ["rsync", "-aSHAX", "--numeric-ids", f"rsync://{_ADDRESS}/images/toy1/"]
        subprocess.run([*argv, f"{work}/image/"], check=True, env={**os.environ, "PATH": PATH})
        found.served[RSYNC, IMAGE] = _taken(door)
    return found


def image(top: Path) -> None:
    """A system of 200 MB in 2,000 files, which are all different."""
    for name in ("etc", "usr"):
        (top / name).mkdir(parents=True)
    for number in range(_FILES):
        path = top / f"usr/{number // 50:03}/{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(os.urandom(_SIZE))


def _taken(door: Inetd) -> list[Served]:
    """What was served since this was asked last; the last connection may just be ending."""
    time.sleep(0.05)
    found, door.served[:] = list(door.served), []
    return found
