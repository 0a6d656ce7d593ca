"""What one connection costs the server: a tick with nothing to do, a report, and a first fetch.

Each is served by a process of its own, with the files that `allie store setup` writes.
"""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from allie.server import store_conf
from allie.server.doors import rsyncd_conf
from allie.server.serving import setup
from bench.inetd import Inetd, Served
from bench.serving_pcs import PC
from tests.worlds import doors
from tests.worlds.doors import Doors

RSYNC, SSH, PLAIN, SSHD = "rsync door", "ssh door", "plain `rsync -a`", "sshd alone"
TICK, REPORT, JOIN = "tick with nothing to do", "a report", "first fetch of the overlays"
IMAGE = "first fetch of 200 MB"
ROUNDS = 30
_ADDRESS, _PLAIN_ADDRESS = "127.0.0.31", "127.0.0.32"
_PLAIN = "uid = 0\ngid = 0\nread only = yes\n[overlays]\npath = {0}/overlays\n"
_FILES, _SIZE = 2000, 100_000


@dataclass
class Costs:
    """Connections by door and by what was asked."""

    served: dict[tuple[str, str], list[Served]] = field(default_factory=dict)

    def add(self, door: str, what: str, listener: Inetd) -> None:
        self.served.setdefault((door, what), []).extend(_taken(listener))

    def cpu(self, door: str, what: str) -> float:
        return median(each.cpu for each in self.served[door, what])

    def memory(self, door: str, what: str) -> float:
        return max(each.memory for each in self.served[door, what])

    def wall(self, door: str, what: str) -> float:
        return median(each.wall for each in self.served[door, what])

    def against(self, what: str, door: str, *others: str) -> float:
        """How many times the others' CPU: of all rounds, since each is a few ticks of a clock."""
        own, *floor = (sum(one.cpu for one in self.served[by, what]) for by in (door, *others))
        return own / sum(floor)


def costs(store: Path, like: PC, work: Path) -> Costs:
    """Play them, the peers in turns. like: a PC; these are made as it was."""
    found = Costs()
    image(store / "images/toy1")
    with ExitStack() as stack:
        private = None if doors.can_be_opened() else _Private(store, work, stack)
        listen = _listening(store, work, stack)
        pc = PC(like.root.parent, "direct")
        pc.join(store, [f"rsync://{_ADDRESS}"])
        first = max(_taken(listen[RSYNC]), key=lambda each: each.cpu)
        found.served[RSYNC, JOIN] = [first]
        pull = ["rsync", "-a", f"rsync://{_PLAIN_ADDRESS}/overlays/", f"{work}/pulled/"]
        subprocess.run(pull, check=True)
        _taken(listen[PLAIN])
        for _ in range(ROUNDS):
            assert pc.tick().status == 0
            found.add(RSYNC, TICK, listen[RSYNC])
            subprocess.run(pull, check=True)
            found.add(PLAIN, TICK, listen[PLAIN])
            if private:
                private.play(found)
        argv = ["rsync", "-aSHAX", "--numeric-ids", f"rsync://{_ADDRESS}/images/toy1/"]
        subprocess.run([*argv, f"{work}/image/"], check=True)
        found.add(RSYNC, IMAGE, listen[RSYNC])
    return found


class _Private:
    """The ssh door, and a host that is enrolled; and one whose key may do nothing."""

    def __init__(self, store: Path, work: Path, stack: ExitStack) -> None:
        self._own, self._report = work / "own", work / "report"
        self._doors = Doors(store, work / "doors")
        for name in ("passwd", "group", "shadow"):  # in this process's own mount namespace
            changed = str(work / "doors" / name)
            subprocess.run(["mount", "--bind", changed, f"/etc/{name}"], check=True)
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        places, rules = self._doors.places, store_conf.read(str(store))
        for path, text in setup.texts(places, rules).items():
            Path(path).write_text(text)
        self._doors.enrol("pc0000")
        nothing = self._doors.enrol("nothing").with_suffix(".pub").read_text().split()[1]
        lines = Path(places.enrolled).read_text().splitlines(keepends=True)
        idle = f'restrict,command="exec true" ssh-ed25519 {nothing} nothing\n'
        kept = [line for line in lines if nothing not in line]
        Path(places.enrolled).write_text("".join([*kept, idle]))
        for number in range(5):
            (store / f"private/pc0000/secret{number}").write_text("secret\n")
        argv = ["/usr/sbin/sshd", "-i", "-f", places.sshd]
        self._listener = stack.enter_context(Inetd("127.0.0.1", self._doors.ssh_port, argv))
        self._rsync("-a", "private/", self._own)
        _taken(self._listener)

    def play(self, found: Costs) -> None:
        """What a tick asks; a report, which is another each time; and nothing at all."""
        self._rsync("-a", "-n", "--delete", "private/", self._own)
        found.add(SSH, TICK, self._listener)
        self._report.write_text(f"{time.time()}\n" * 100)
        self._rsync("-t", self._report, "inbox/")
        found.add(SSH, REPORT, self._listener)
        assert self._doors.ssh("nothing").returncode == 0
        found.add(SSHD, TICK, self._listener)

    def _rsync(self, *words: str | Path) -> None:
        done = self._doors.rsync("pc0000", *words)
        assert done.returncode == 0, done.stderr


def _listening(store: Path, work: Path, stack: ExitStack) -> dict[str, Inetd]:
    """The rsync door, and a daemon as anybody would write it."""
    places, rules = store_conf.places(str(store)), store_conf.read(str(store))
    os.makedirs(places.etc, 0o711, exist_ok=True)
    for path, text in setup.texts(places, rules).items():
        Path(path).write_text(text)
    direct, plain = work / "direct.conf", work / "plain.conf"
    direct.write_text(rsyncd_conf.foreground(str(store), "", 873, rules, f"{work}/direct.lock"))
    plain.write_text(_PLAIN.format(store))
    found = {}
    for name, address, conf in (
        (RSYNC, _ADDRESS, str(direct)),
        (PLAIN, _PLAIN_ADDRESS, str(plain)),
    ):
        argv = ["rsync", "--daemon", f"--config={conf}"]
        found[name] = stack.enter_context(Inetd(address, 873, argv))
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
