"""`python -m bench.fleet`: what each view of a fleet costs, of 100, 1,000 and 10,000 PCs.

Their reports are generated (tests/worlds/fleets.py): 4 kB with 20 scripts each. All is measured
against a Python that reads the same files and parses their JSON, and does nothing else. What is
wanted are 10,000 reports in less than 2 s and 200 MB; what is held is the ratio, since seconds say
as much of the machine. ALLiE's modules are compiled, as its packages have them. Writes
bench/FLEET.md; exits 1 if a budget is not met. It needs root, as the store is root's.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from allie.cli import fleet, fleet_watch  # noqa: F401 - read before the first fork
from allie.cli import main as command_line
from allie.server import store as stores
from bench import machine
from bench.budgets import Budget, say_broken, table
from tests.worlds import fleets, forked
from tests.worlds.clock import Clock

TOP = Path(__file__).resolve().parents[1]
SIZES = (100, 1000, 10_000)
MEMORY, CPU = 200.0, 3.0  # MB; times what reading alone takes
WANTED = 2.0  # s of the clock, on an ordinary server: shown, and not held
ALONE, FLEET = "its reports read and parsed, alone", "`allie fleet`"
SITE, SITE_AGAIN = "`--site`, first", "`--site`, 1 % changed"
NEWS, NEWS_AGAIN = "`--changed-since-last`, first", "`--changed-since-last`, 1 % changed"
_ALONE = """
import json, os, sys
os.chdir(sys.argv[1])
for host in os.listdir():
    try:
        with open(host + "/report", "rb") as file:
            json.loads(file.read())
    except FileNotFoundError:
        pass
"""
MONTH_PCS, MONTH_DAYS, LOOKS_A_DAY = 1000, 30, 4


@dataclass
class Cost:
    """What one program took."""

    wall: float  # s
    cpu: float  # s, with children
    memory: float  # MB, at its peak


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pcs", type=int, nargs="*", default=SIZES, help="sizes of fleets")
    parser.add_argument("--out", type=Path, default=TOP / "bench/FLEET.md")
    args = parser.parse_args()
    if os.geteuid() != 0:
        print("bench: needs root", file=sys.stderr)
        return 2
    about = machine.describe(TOP)
    with tempfile.TemporaryDirectory(prefix="allie-fleet-") as work:
        os.environ["PYTHONPYCACHEPREFIX"] = work
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        costs = {count: play(Path(work, str(count)), count, args.rounds) for count in args.pcs}
        size, seconds = month(Path(work, "month"))
    return conclude(args.out, about, costs, (size, seconds))


def play(work: Path, count: int, rounds: int) -> dict[str, Cost]:
    """Every view of a fleet of that size; each is the median of some rounds."""
    store = work / "store"
    stores.init(str(store))
    forked.apart(put, store, count, time.time(), 1, slice(None))
    measure([sys.executable, "-m", "allie.cli.main", "fleet", "--help"])  # all is compiled now
    found: dict[str, list[Cost]] = {}
    for turn in range(rounds):
        for name, argv in views(store, work / f"site{turn}", work / "fleet.prom"):
            if name in (SITE_AGAIN, NEWS_AGAIN):
                change(store, count, turn)
            found.setdefault(name, []).append(measure(argv))
            print(f"{count} PCs, {name}: {found[name][-1]}", file=sys.stderr)
    return {
        name: Cost(*(median(getattr(each, kind) for each in costs) for kind in vars(costs[0])))
        for name, costs in found.items()
    }


def views(store: Path, site: Path, metrics: Path) -> Iterator[tuple[str, Sequence[str]]]:
    """What is measured, and its command line."""
    yield ALONE, [sys.executable, "-c", _ALONE, str(store / "inbox")]
    allie = [sys.executable, "-m", "allie.cli.main", "--store", str(store), "fleet"]
    yield FLEET, allie
    yield "`--names`", [*allie, "--names"]
    yield "`--json`", [*allie, "--json"]
    yield "`--metrics`", [*allie, "--metrics", str(metrics)]
    yield SITE, [*allie, "--site", str(site)]
    yield SITE_AGAIN, [*allie, "--site", str(site)]
    yield NEWS, [*allie, "--changed-since-last"]
    yield NEWS_AGAIN, [*allie, "--changed-since-last"]


def change(store: Path, count: int, seed: int) -> None:
    """One PC in a hundred has something new to tell."""
    forked.apart(put, store, count, time.time(), seed + 2, slice(seed, None, 100))


def put(store: Path, count: int, now: float, seed: int, which: slice) -> None:
    """Put reports there: in a process of its own, since a child's peak counts its parent's size."""
    fleets.put(store, fleets.generated(count, now, seed)[which])


def measure(argv: Sequence[str]) -> Cost:
    """Run it to its end; what it prints goes nowhere."""
    env = {**os.environ, "PYTHONPATH": str(TOP / "src"), "NO_COLOR": "1"}
    began = time.perf_counter()
    done = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env=env)
    _, status, usage = os.wait4(done.pid, 0)
    done.returncode = os.waitstatus_to_exitcode(status)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"exit {done.returncode}: {argv}")
    wall = time.perf_counter() - began
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def month(work: Path) -> tuple[int, int]:
    """(bytes that the history takes after a simulated month, looks that it had)."""
    store, clock = work / "store", Clock()
    stores.init(str(store))
    forked.apart(put, store, MONTH_PCS, clock.now(), 1, slice(None))
    look = forked.become  # in a child of its own, whose clock is the simulated one
    looks = MONTH_DAYS * LOOKS_A_DAY
    words = ["--store", str(store), "fleet", "--metrics", str(work / "fleet.prom")]
    for turn in range(looks):
        clock.forward(86400 / LOOKS_A_DAY)
        forked.apart(put, store, MONTH_PCS, clock.now(), turn, slice(turn % 100, None, 100))
        with (work / "out").open("wb") as out:
            pid = os.fork()
            if not pid:
                look(clock.on_the_server(lambda: command_line.main(words)), out.fileno())
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) not in (0, 1):
            raise RuntimeError((work / "out").read_text())
    files = (path for path in (store / "fleet").rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files), looks


def conclude(
    out: Path, about: Sequence[str], costs: dict[int, dict[str, Cost]], kept: tuple[int, int]
) -> int:
    budgets = [each for count in costs for each in held(count, costs[count])]
    size, looks = kept
    sections = [
        "# What a fleet's views cost",
        "Written by `bench/fleet.py`. The reports are generated, 4 kB with 20 scripts each.",
        "\n".join(f"- {line}" for line in about),
        table(budgets),
        *(in_time(count, each) for count, each in costs.items() if count >= max(SIZES)),
        *(f"## {count:,} PCs\n\n{rows(each)}" for count, each in costs.items()),
        "## What is kept\n\n"
        f"{MONTH_PCS:,} PCs through a month, {looks} looks, at each of which 1 % of them had "
        f"something new: {size / 1e6:.1f} MB.",
    ]
    text = "\n\n".join(sections) + "\n"
    out.write_text(text)
    print(text)
    return say_broken(budgets, full=len(costs) == len(SIZES))


def held(count: int, costs: dict[str, Cost]) -> list[Budget]:
    """The budgets of a fleet of that size."""
    alone, whole = costs[ALONE], costs[FLEET]
    if count < max(SIZES):
        return []
    return [
        Budget(f"{FLEET}, {count:,} PCs: CPU, against {ALONE}", whole.cpu / alone.cpu, CPU, " x"),
        *(
            Budget(f"{name}, {count:,} PCs: peak memory", each.memory, MEMORY, " MB")
            for name, each in costs.items()
            if name != ALONE
        ),
    ]


def in_time(count: int, costs: dict[str, Cost]) -> str:
    """Which views take no longer than is wanted."""
    late = [f"{name} ({each.wall:.2f} s)" for name, each in costs.items() if each.wall > WANTED]
    which = f"all but {', '.join(late)}" if late else "all of them"
    return f"Wanted are {count:,} reports in {WANTED:.0f} s. Here {which} took no longer."


def rows(costs: dict[str, Cost]) -> str:
    lines = ["| | wall, s | CPU, s | CPU, x alone | memory, MB |", "| --- |" + " ---: |" * 4]
    for name, each in costs.items():
        share = each.cpu / costs[ALONE].cpu
        figures = f"{each.wall:.2f} | {each.cpu:.2f} | {share:.1f} | {each.memory:.0f}"
        lines.append(f"| {name} | {figures} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
