"""bench/SERVING.md: the figures of bench/serving.py, its budgets, and what follows from them.

What is arithmetic says so, and from which figures.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median

from allie.client.mirror import stores
from allie.core.conf.settings import Settings
from bench.budgets import Budget, say_broken, table
from bench.serving_doors import IMAGE, JOIN, PLAIN, RSYNC, SSH, SSHD, TICK, Costs
from bench.serving_pcs import Phase

EVEN = 1.2  # times an even share, at most
LIKE_PLAIN = 1.1  # times the server's CPU for a plain `rsync -a` with nothing to do
LIKE_SSHD = 1.25
_HOUR = 3600
_IMAGE_GB, _LINK = 10, 0.117  # GB a second of payload on 1 Gb/s
SITES = (1_000, 10_000, 100_000)


def conclude(
    out: Path, about: list[str], pcs: int, phases: list[Phase], through: list[Phase], cost: Costs
) -> int:
    budgets = [
        Budget("ticks that failed", float(_failed([*phases, *through])), 0.0, ""),
        Budget("ticks that went back", float(_gone_back(phases) + _gone_back(through)), 0.0, ""),
        Budget(f"load with {pcs} PCs, all equal, against an even share", even(phases), EVEN, " x"),
    ]
    if through:
        words = "load through HAProxy, all equal, against an even share"
        budgets.append(Budget(words, even(through), EVEN, " x"))
    words = "server's CPU for a tick with nothing to do, rsync door, against plain `rsync -a`"
    budgets.append(Budget(words, cost.against(TICK, RSYNC, PLAIN), LIKE_PLAIN, " x"))
    if (SSH, TICK) in cost.served:
        words = "the same, ssh door, against sshd that runs nothing and the rsync door's together"
        budgets.append(Budget(words, cost.against(TICK, SSH, SSHD, RSYNC), LIKE_SSHD, " x"))
    ticks = sum(len(phase.ticks) for phase in [*phases, *through])
    text = "\n\n".join(
        [
            "# Serving many PCs",
            "Written by `bench/serving.py`; README.md beside this file says how to read it.",
            "\n".join(f"- {line}" for line in [*about, f"{ticks:,} ticks, two at a time"]),
            "## Budgets",
            table(budgets),
            "## Three servers, and PCs that know all of them",
            _phases(phases),
            shares(),
            *(["## HAProxy before the three", _phases(through)] if through else []),
            "## What one connection takes of a server",
            _doors(cost),
            "## What that means",
            _sites(cost),
        ]
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text + "\n")
    print(text)
    return say_broken(budgets, full=True)


def even(phases: list[Phase]) -> float:
    """The largest share of a server in the phases where all are equal, in times an even one."""
    asked = [phase.asked for phase in phases if phase.name.startswith("all equal")]
    totals: list[int] = [sum(each) for each in zip(*asked)]
    return max(totals) * len(totals) / sum(totals)


def shares() -> str:
    """How even the PCs' own orders are, by the client's own function; and when one is added."""
    lines = [
        "| PCs | fullest of 3 servers, x even | fullest of 8, x even"
        " | go elsewhere when a 4th is added |",
        "| ---: | ---: | ---: | ---: |",
    ]
    for count in (100, *SITES):
        three, four, eight = (_first_choices(count, number) for number in (3, 4, 8))
        moved = sum(1 for one, other in zip(three, four) if one != other) / count
        full = [max(map(each.count, set(each))) * size / count for each, size in
                ((three, 3), (eight, 8))]  # fmt: skip
        lines.append(f"| {count:,} | {full[0]:.2f} | {full[1]:.2f} | {moved:.1%} |")
    return "\n".join([*lines, "", "Computed, for PCs called pc0000 and so on; 25 % is the least."])


def _first_choices(count: int, servers: int) -> list[str]:
    known = tuple(f"rsync://server{number}" for number in range(servers))
    base = Settings("toy", known, ("kit",))
    return [stores.in_own_order(base._replace(host=f"pc{each:04}"))[0] for each in range(count)]


def _failed(phases: list[Phase]) -> int:
    return sum(len(phase.failed) for phase in phases)


def _gone_back(phases: list[Phase]) -> int:
    """Ticks after which a PC had an older edition than after one before."""
    newest: dict[str, int] = {}
    count = 0
    for phase in phases:
        for tick in phase.ticks:
            count += tick.edition < newest.get(tick.host, 0)
            newest[tick.host] = max(tick.edition, newest.get(tick.host, 0))
    return count


def _phases(phases: list[Phase]) -> str:
    lines = [
        "| | ticks | failed | connections to each server | wall ms, median | slowest"
        " | CPU ms of a PC |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for phase in phases:
        wall = [tick.wall for tick in phase.ticks]
        cpu = median(tick.cpu for tick in phase.ticks)
        asked = ", ".join(map(str, phase.asked))
        lines.append(
            f"| {phase.name} | {len(phase.ticks)} | {len(phase.failed)} | {asked}"
            f" | {median(wall):.0f} | {max(wall):.0f} | {cpu:.0f} |"
        )
    return "\n".join(lines)


def _doors(cost: Costs) -> str:
    lines = ["| | CPU ms | peak MB | wall ms |", "| --- | ---: | ---: | ---: |"]
    for door, what in cost.served:
        figures = cost.cpu(door, what), cost.memory(door, what), cost.wall(door, what)
        lines.append(f"| {what}, {door} | " + " | ".join(f"{each:.1f}" for each in figures) + " |")
    return "\n".join(lines)


def _sites(cost: Costs) -> str:
    """Arithmetic: what so many PCs take, if they tick once an hour, evenly."""
    rows = [["", *(f"{pcs:,} PCs" for pcs in SITES)], ["---", *["---:"] * len(SITES)]]
    for door in [door for door in (RSYNC, SSH) if (door, TICK) in cost.served]:
        cpu, wall, memory = (
            of(door, TICK) / unit
            for of, unit in ((cost.cpu, 1000), (cost.wall, 1000), (cost.memory, 1))
        )
        rows += [
            [f"{door}: CPU for their ticks", *(_cores(pcs * cpu / _HOUR) for pcs in SITES)],
            [f"{door}: at once", *(_at_once(pcs * wall / _HOUR, memory) for pcs in SITES)],
        ]
    image_cpu = cost.cpu(RSYNC, IMAGE) / 1000 * 5 * _IMAGE_GB  # of 200 MB
    image_link = _IMAGE_GB / _LINK
    for name, seconds in {
        "first fetch of all overlays: CPU": [pcs * cost.cpu(RSYNC, JOIN) / 1000 for pcs in SITES],
        f"an image of {_IMAGE_GB} GB to each: CPU": [pcs * image_cpu for pcs in SITES],
        "the same: one link of 1 Gb/s": [pcs * image_link for pcs in SITES],
        "the same: a mirror in each room of 30": [(pcs / 30 + 30) * image_link for pcs in SITES],
    }.items():
        rows.append([name, *map(_span, seconds)])
    said = f"""
Measured: the figures of one connection above. Arithmetic: everything in this table, for ticks
that are spread evenly over an hour (the timer spreads them), overlays of 50 files, an image
whose cost grows with its bytes, links of 1 Gb/s that carry {_LINK * 1000:.0f} MB a second, and
rooms whose mirrors take the image one after the other from the server, and then give it to their
30 PCs, all rooms at once."""
    return "\n".join([*("| " + " | ".join(row) + " |" for row in rows), said])


def _cores(cores: float) -> str:
    return f"{cores:.1%} of a core" if cores < 1 else f"{cores:.1f} cores"


def _at_once(connections: float, memory: float) -> str:
    most = max(1, round(connections))
    return f"{most}, {most * memory:,.0f} MB"


def _span(seconds: float) -> str:
    for size, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.0f} s"
