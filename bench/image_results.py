"""The figures of the images' bench: medians, tables, and the budgets that they are held to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from bench import machine
from bench.budgets import Budget, table
from bench.image_peers import ALLIE, FETCH, RSYNC, TUNED, ZSTD, Program, Way
from bench.image_play import CASES, FEW, FIRST, MANY, NO_OP, UPDATE, Memory, Results, Run

TITLES = {
    FIRST: "first fetch",
    NO_OP: "nothing has changed",
    UPDATE: "after an upgrade of packages",
}
_FIGURES = {
    "wall s": lambda run: run.sample.wall / 1000,
    "client CPU s": lambda run: run.sample.cpu / 1000,
    "server CPU s": lambda run: run.server / 1000,
    "MB on the wire": lambda run: run.sent / 1e6,
}


@dataclass(frozen=True)
class Found:
    """What a run has found."""

    results: Results
    memory: Memory
    prepared: list[str]  # what the server had to do
    words: str  # what the image is


def figure(results: Results, name: str, case: str, what: str) -> float | None:
    """The median of a figure over the runs that came to their end."""
    good = [run for run in results.get((name, case), []) if run.ended]
    return median(map(_FIGURES[what], good)) if good else None


def budgets(found: Found) -> list[Budget]:
    """The budgets of images, each from this run alone."""

    def of(name: str, case: str, what: str) -> float | None:
        return figure(found.results, name, case, what)

    bytes_of = {name: of(name, UPDATE, "MB on the wire") for name in (ALLIE, ZSTD)}
    bare, all_of_it = (of(name, UPDATE, "wall s") for name in (RSYNC, ALLIE))
    few, many = (found.memory.get((ALLIE, files)) for files in (FEW, MANY))
    packed = bytes_of[ZSTD]
    return [
        *_firsts(of),
        Budget(
            f"first fetch: peak memory, {MANY:,} files against {FEW:,}",
            few and many and many / few,
            1.2,
            " x",
        ),
        Budget(
            "update, all: question, copy, transfer, made fit, syncs, first tick, switch;"
            " against bare rsync's transfer into the present tree",
            bare and all_of_it and all_of_it / bare,
            2.0,
            " x",
        ),
        Budget(
            "update: bytes, against rsync with zstd, and 2 % for the overlays",
            bytes_of[ALLIE],
            _more(packed, 1.02),
            " MB",
        ),
    ]


def _firsts(of: Callable[[str, str, str], float | None]) -> list[Budget]:
    """A first fetch, and 5 % more than bare rsync takes, from either server."""
    what = {
        FETCH: "first fetch, the image alone: start, transfer, sync",
        ALLIE: "first fetch, all: start, transfer, made fit, sync, overlays, first tick, sync",
    }
    servers = {RSYNC: "a plain daemon", TUNED: "ALLiE's server"}
    return [
        Budget(
            f"{words}; against bare rsync's transfer from {server}, and 5 %",
            of(name, FIRST, "wall s"),
            _more(of(bare, FIRST, "wall s"), 1.05),
            " s",
        )
        for name, words in what.items()
        for bare, server in servers.items()
    ]


def _more(value: float | None, times: float) -> float | None:
    return value and value * times


def document(found: Found, about: Sequence[str], ways: Sequence[Way]) -> tuple[str, bool]:
    """The page, and whether something is not as it must be."""
    held = budgets(found)
    missing = [way.name for way in ways if (way.name, FIRST) not in found.results]
    notes = [*found.prepared, *(f"{name}: not installed, left out" for name in missing)]
    notes += [_memory(found.memory)] if found.memory else []
    parts = [
        "# Images, and the ways to bring them",
        "Written by `bench/images.py`; README.md beside this file says how to read it. Medians of\n"
        "interleaved rounds; CPU is user and system time with children.",
        "\n".join(f"- {line}" for line in [*about, found.words]),
        "## Budgets",
        table(held),
        *(_case(found.results, case, ways) for case in CASES),
        "\n".join(f"- {note}" for note in notes),
    ]
    honest = all(
        run.ended and not run.wrong
        for key, runs in found.results.items()
        if key[0] == ALLIE
        for run in runs
    )
    return "\n\n".join(part for part in parts if part) + "\n", not honest or any(
        not budget.met for budget in held
    )


def _case(results: Results, case: str, ways: Sequence[Way]) -> str:
    lines = [f"## {TITLES[case].capitalize()}", ""]
    heads = [*_FIGURES, "wall, x rsync", "peak MB", "runs"]
    lines += ["| | " + " | ".join(heads) + " | result |"]
    lines += ["| --- |" + " ---: |" * len(heads) + " --- |"]
    floor = figure(results, RSYNC, case, "wall s")
    for way in ways:
        runs = results.get((way.name, case), [])
        if runs:
            lines.append(_row(results, way.name, case, runs, floor))
    return "\n".join(lines)


def _row(results: Results, name: str, case: str, runs: Sequence[Run], floor: float | None) -> str:
    found = [figure(results, name, case, what) for what in _FIGURES]
    cells = ["" if each is None else f"{each:.2f}" for each in found]
    cells.append(f"{found[0] / floor:.2f}" if found[0] and floor else "")
    cells += [f"{max(run.sample.rss for run in runs):.0f}", str(len(runs))]
    return f"| {name} | " + " | ".join(cells) + f" | {_verdict(runs)} |"


def _verdict(runs: Sequence[Run]) -> str:
    """What was done, not how fast."""
    if any(run.sample.late for run in runs):
        return "stopped: too slow"
    failed = sorted({run.sample.status for run in runs if run.sample.status})
    if failed:
        return "exit " + ", ".join(map(str, failed))
    wrong = max(run.wrong for run in runs)
    return f"not as the image has it: {wrong} files" if wrong else "ok"


def _memory(memory: Memory) -> str:
    """The peaks of few and many files, in words."""
    said = [f"{name} {files:,} files {peak:.1f} MB" for (name, files), peak in memory.items()]
    return "peak memory of a first fetch of little files: " + ", ".join(said)


def versions(programs: Sequence[Program]) -> str:
    """What is compared, in its versions."""
    present = [each for each in dict.fromkeys(programs) if machine.installed(each)]
    return ", ".join(dict.fromkeys(machine.version(each) for each in present))
