"""`python -m bench.enter`: `allie enter SYSTEM -- true` against chroot and bwrap, in one run.

Writes bench/ENTER.md; exits 1 if the budget is not met. It needs root, since chroot does; what is
measured but chroot runs as an ordinary user. bwrap is left out where it is not installed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from bench import machine
from bench.budgets import Budget, say_broken, table
from tests.use.world import UID, USER, Base, busybox_system, possible
from tests.worlds.debian import debian_root

TOP = Path(__file__).resolve().parents[1]
LIMIT = 3.0  # times Python's start, more than chroot: 50 ms where that takes 17
ENTER, CHROOT, PYTHON = "allie enter", "chroot", "python3 -c pass"
_BARE = "bwrap --bind /srv/deb / --dev-bind /dev /dev --bind /proc /proc --bind /tmp /tmp"
# name → (command, as the user)
PEERS = {
    CHROOT: ("/usr/sbin/chroot /srv/deb true", False),
    "bwrap with four mounts": (f"{_BARE} true", True),
    PYTHON: ("/usr/bin/python3 -ISB -c pass", True),
    ENTER: ("allie enter deb -- true", True),
    "allie enter, as root": ("allie enter deb -- true", False),
    "allie enter, twice nested": ("allie enter bb -- allie enter deb -- true", True),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--out", type=Path, default=TOP / "bench/ENTER.md")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        print(json.dumps(play(args.rounds)))
        return 0
    return conclude(run(args.rounds), args)


def run(rounds: int) -> dict[str, list[list[float]]]:
    """Make the base and the systems, and play in there."""
    if not possible():
        sys.exit("bench: needs root, and namespaces for users")
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        roots = {"bb": busybox_system(top / "bb"), "deb": debian_root("bookworm", top / "deb")}
        with Base(top / "base", roots) as base:
            again = [sys.executable, "-m", "bench.enter", "--inside", "--rounds", str(rounds)]
            argv = base.argv(*again, root=True, directory=str(TOP))
            done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, list[list[float]]] = json.loads(done.stdout)
    return found


def play(rounds: int) -> dict[str, list[list[float]]]:
    """On the base: every peer in each round, in an order that moves on; (wall, CPU) in ms."""
    names = [name for name, (command, _) in PEERS.items() if shutil.which(command.split()[0])]
    found: dict[str, list[list[float]]] = {name: [] for name in names}
    for turn in range(rounds + 1):
        for step in range(len(names)):
            name = names[(turn + step) % len(names)]
            sample = measure(*PEERS[name])
            if turn:  # the first warms up
                found[name].append(sample)
    return found


def measure(command: str, as_user: bool) -> list[float]:
    start = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        if as_user:
            os.setgroups([])
            os.setgid(UID)
            os.setuid(UID)
            os.environ["HOME"] = f"/home/{USER}"
        os.execvp(command.split()[0], command.split())
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - start
    if status:
        raise RuntimeError(f"{command}: {status}")
    return [wall * 1000, (usage.ru_utime + usage.ru_stime) * 1000]


def conclude(found: dict[str, list[list[float]]], args: argparse.Namespace) -> int:
    lines = [
        "| | wall, ms | CPU, ms | wall, more than chroot, ms | x python3 | CPU, x python3 |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, samples in found.items():
        wall, cpu = (median(sample[kind] for sample in samples) for kind in (0, 1))
        longer = wall - median(sample[0] for sample in found[CHROOT])
        figures = (wall, cpu, longer, more(found, name, 0), more(found, name, 1))
        lines.append(f"| {name} | " + " | ".join(f"{each:.1f}" for each in figures) + " |")
    what = "`allie enter SYSTEM -- true`: {}, more than chroot, against Python's start"
    budgets = [
        Budget(what.format(word), more(found, ENTER, kind), LIMIT, " x")
        for kind, word in enumerate(("wall", "CPU"))
    ]
    about = [*machine.describe(TOP), f"{args.rounds} rounds, interleaved; medians"]
    parts = [
        "# Entering another system",
        "Written by `bench/enter.py`: the time to run `true` in a Debian system.",
        "\n".join(f"- {line}" for line in about),
        table(budgets),
        "\n".join(lines),
    ]
    text = "\n\n".join(parts) + "\n"
    args.out.write_text(text)
    print(text)
    return say_broken(budgets, full=True)


def more(found: dict[str, list[list[float]]], name: str, kind: int) -> float:
    """How much longer than chroot (0: wall, 1: CPU), in times Python's start: of all rounds."""
    rounds = zip(found[name], found[CHROOT], found[PYTHON])
    return median((own[kind] - chroot[kind]) / python[kind] for own, chroot, python in rounds)


if __name__ == "__main__":
    sys.exit(main())
