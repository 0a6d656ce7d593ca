"""One figure for the samples of many rounds, and the tables of them in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from bench.overlay import EDITS
from bench.peers import PYTHON, RSYNC
from bench.sample import Sample
from bench.world import CASES, Key, Results

Figure = Callable[[Sample], float]

TITLES = {
    "first": "first run on a fresh root",
    "after": "no-op, the first one after a change",
    "no-op": "no-op",
    "changed": f"{EDITS} files changed on the server",
    "drifted": f"{EDITS} files changed on the PC",
    "updated": "no-op, after an update of the client",
}


def cpu(sample: Sample) -> float:
    return sample.cpu


def wall(sample: Sample) -> float:
    return sample.wall


def figure(results: Results, what: Figure, key: Key) -> float | None:
    """The median of all runs."""
    good = _good(results.get(key, []))
    return median(map(what, good)) if good else None


def ratio(results: Results, what: Figure, key: Key, *floors: Key) -> float | None:
    """The median of what each round says: a run in times the median of the floors' of that round.

    The machine is not equally fast all the time: what slows one run mostly slows the next one too.
    """
    units: dict[int, list[float]] = {}
    for floor in floors:
        for sample in _good(results.get(floor, [])):
            units.setdefault(sample.round, []).append(what(sample))
    good = [sample for sample in _good(results.get(key, [])) if sample.round in units]
    return median(what(each) / median(units[each.round]) for each in good) if good else None


def of_python(results: Results, key: Key) -> float | None:
    """CPU in times Python's start, which is in every case of a round."""
    return ratio(results, cpu, key, *((key[0], PYTHON, case) for case in CASES))


def _good(samples: Sequence[Sample]) -> list[Sample]:
    return [sample for sample in samples if not sample.late and sample.status == 0]


def overview(results: Results, names: Sequence[str], sizes: Sequence[int]) -> str:
    """CPU of every case and size, one line a peer."""
    columns = [(files, case) for files in sizes for case in CASES if _any(results, files, case)]
    lines = [_row(["CPU, ms", *(f"{case}, {files}" for files, case in columns)])]
    lines.append(_row(["---", *("---:" for _ in columns)]))
    for name in names:
        cells = [_number(figure(results, cpu, (files, name, case))) for files, case in columns]
        if any(cells):
            lines.append(_row([name, *cells]))
    return "\n".join(lines)


def detail(results: Results, names: Sequence[str], files: int, case: str) -> str:
    """One case: CPU, wall and memory of every peer, and their ratios to Python's and rsync's."""
    heads = ["CPU ms", "x python3", "x rsync", "wall ms", "x rsync", "peak MB", "runs"]
    lines = [_row([f"{TITLES[case]}, {files:,} files", *heads, "result"])]
    lines.append(_row(["---", *("---:" for _ in heads), "---"]))
    for name in names:
        samples = results.get((files, name, case), [])
        if samples:
            cells = _cells(results, (files, name, case))
            lines.append(_row([name, *cells, _verdict(samples, case)]))
    return "\n".join(lines) if len(lines) > 2 else ""


def _cells(results: Results, key: Key) -> list[str]:
    files, _, case = key
    rsync = (files, RSYNC, case)
    good = _good(results[key])
    return [
        _number(figure(results, cpu, key)),
        _number(of_python(results, key)),
        _number(ratio(results, cpu, key, rsync)),
        _number(figure(results, wall, key)),
        _number(ratio(results, wall, key, rsync)),
        f"{max(sample.rss for sample in good):.0f}" if good else "",
        str(len(results[key])),
    ]


def _verdict(samples: Sequence[Sample], case: str) -> str:
    """What the peer did, not how fast: anything but `ok` is a run that did not do the work."""
    if any(sample.late for sample in samples):
        return f"stopped after {max(sample.wall for sample in samples) / 1000:.0f} s"
    failed = sorted({sample.status for sample in samples if sample.status})
    if failed:
        return "exit " + ", ".join(map(str, failed))
    missed = max(sample.missed for sample in samples)
    if missed and case == "drifted":
        return f"missed {missed} of {EDITS}"
    return f"WRONG: {missed} files" if missed else "ok"


def honest(results: Results, name: str) -> bool:
    """Whether a peer did its whole work in every run."""
    own = [sample for key, samples in results.items() if key[1] == name for sample in samples]
    return all(not (sample.late or sample.status or sample.missed) for sample in own)


def _any(results: Results, files: int, case: str) -> bool:
    return any(key[0] == files and key[2] == case for key in results)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def document(
    results: Results,
    *,
    about: Sequence[str],
    names: Sequence[str],
    sizes: Sequence[int],
    notes: Sequence[str],
    budgets: str,
) -> str:
    tables = [detail(results, names, files, case) for files in sizes for case in CASES]
    parts = [
        "# ALLiE's tick and its peers",
        "Written by `bench/run.py`; README.md beside this file says how to read it. Medians of\n"
        "interleaved rounds; CPU is user and system time with children.",
        "\n".join(f"- {line}" for line in about),
        "## Budgets",
        budgets,
        "## All cases",
        overview(results, names, sizes),
        "\n".join(f"- {note}" for note in notes),
        "## Each case",
        *tables,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
