"""`python -m bench.fleet_site`: the pages of `allie fleet --site` in a real browser; bench/SITE.md.

What a person waits for: until the overview of many PCs is on the screen, until it is sorted, and
until a filter has had its effect; each until the frame after it. Beside it, in the same run, what
it would take to draw all rows at once. Also what writing the site takes, first and again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from allie.core.value import Value
from allie.server.site.write import write_with
from bench import machine
from bench.budgets import Budget, say_broken, table
from tests.worlds import chromium, fleets
from tests.worlds.chromium import Chromium

TOP = Path(__file__).resolve().parents[1]
SIZES = (70, 1000, 5000)
OPEN, CHANGE = 0.5, 0.15  # seconds, with 5,000 PCs: what is asked for, and depends on the machine
SUMMARY = 551  # KiB, with 5,000 PCs
WHOLE = 0.5  # of the time that drawing all rows takes: what opening the whole page may
_NOTE_OPEN = """
const seen = () => {
  if (document.querySelectorAll('#all tbody tr').length > 3) {
    requestAnimationFrame(() => setTimeout(() => { window.opened = performance.now(); }));
  } else requestAnimationFrame(seen);
};
requestAnimationFrame(seen);
"""
_UNTIL_DRAWN = """(act) => new Promise((done) => {
  const began = performance.now();
  Function(act)();
  document.body.getBoundingClientRect();
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)));
})"""
_SORT = "document.querySelector('#all .c-heard button').click()"
_FILTER = (
    "const box = document.querySelector('[name=q]'); box.value = box.value ? '' : 'lab-b 1';"
    "box.dispatchEvent(new Event('input', { bubbles: true }))"
)
_ALL_ROWS = (
    "const body = document.querySelector('#all tbody'); const made = [];"
    "for (let at = 0; at < shown.length; at += 1) made.push(rowOf(at)); body.append(...made)"
)


class Measured(Value):
    """Medians for one size of fleet, in seconds."""

    pcs: int
    opened: float
    sorted: float
    filtered: float
    whole: float  # all rows drawn at once
    first: float  # written the first time
    again: float  # written again, where nothing is new
    summary: int  # KiB


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=TOP / "bench/SITE.md")
    args = parser.parse_args()
    if not chromium.PROGRAM:
        sys.exit("bench: no Chromium: install the package chromium")
    with tempfile.TemporaryDirectory() as folder, chromium.started() as browser:
        found = [measured(Path(folder) / str(pcs), pcs, browser, args.rounds) for pcs in SIZES]
        text = page(found, args.rounds, Path(folder), browser.version)
    args.out.write_text(text)
    print(text, end="")
    return say_broken(budgets(found[-1]), full=True)


def measured(place: Path, pcs: int, browser: Chromium, rounds: int) -> Measured:
    """Write a site of so many PCs, and look at it."""
    now = time.time()
    fleet = fleets.judged(fleets.generated(pcs, now), now)
    counts = fleets.counted(fleet)
    first, again = (_took(lambda: write_with(fleet, str(place), counts)) for _ in range(2))
    times = [_looked(place, browser) for _ in range(rounds)]
    opened, in_order, filtered, whole = (median(column) / 1000 for column in zip(*times))
    size = (place / "data/summary.js").stat().st_size >> 10
    return Measured(pcs, opened, in_order, filtered, whole, first, again, size)


def _took(work: Any) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _looked(place: Path, browser: Chromium) -> tuple[float, float, float, float]:
    """One visit: opened, sorted, filtered, and all rows drawn; milliseconds."""
    with browser.visit(place, bypass_csp=True) as visit:
        visit.page.add_init_script(_NOTE_OPEN)
        page = visit.go("index.html")
        page.wait_for_function("() => window.opened")
        opened: float = page.evaluate("window.opened")
        acts = (_SORT, _FILTER, _ALL_ROWS)
        in_order, filtered = (median(_drawn(page, act) for _ in range(4)) for act in acts[:2])
        return opened, in_order, filtered, _drawn(page, _ALL_ROWS)


def _drawn(page: Any, act: str) -> float:
    found: float = page.evaluate(_UNTIL_DRAWN, act)
    return found


def budgets(found: Measured) -> list[Budget]:
    """What is held, of the largest fleet."""
    return [
        Budget("opened, against all rows drawn at once", found.opened / found.whole, WHOLE),
        Budget("the summary that the overview loads", found.summary, SUMMARY, " KiB"),
    ]


def page(found: list[Measured], rounds: int, place: Path, version: str) -> str:
    """The page of results."""
    rows = "\n".join(
        f"| {each.pcs:,} | {each.opened:.2f} | {each.sorted:.3f} | {each.filtered:.3f}"
        f" | {each.whole:.2f} | {each.summary} | {each.first:.2f} | {each.again:.2f} |"
        for each in found
    )
    large = found[-1]
    asked = [
        Budget(f"opened, {large.pcs:,} PCs", large.opened, OPEN, " s"),
        Budget("sorted", large.sorted, CHANGE, " s"),
        Budget("filtered", large.filtered, CHANGE, " s"),
    ]
    about = "\n".join(f"- {line}" for line in machine.describe(place))
    head = (
        "PCs|opened, s|sorted, s|filtered, s|all rows at once, s|summary, KiB|written, s|again, s"
    )
    return f"""\
# The fleet's pages

Written by `bench/fleet_site.py`: what `allie fleet --site` has written, opened as files in
Chromium {version}.

{about}
- {rounds} visits each; medians

| {head.replace("|", " | ")} |
|{" ---: |" * 8}
{rows}

Each until the frame after it is drawn. "All rows at once" is what a page without windowed rows
would take to draw them; "again" writes the site where nothing is new.

{table([*budgets(large), *asked])}

The first two are held. The others are what was asked for, and say as much of the machine.
"""


if __name__ == "__main__":
    sys.exit(main())
