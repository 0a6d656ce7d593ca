"""The budgets of the tick, each held as a figure of this run against others of the same run."""

from __future__ import annotations

from dataclasses import dataclass

from bench.peers import ALLIE, PYTHON, RSYNC
from bench.results import cpu, wall
from bench.world import Results

WORK = {"changed": "5 changed", "drifted": "5 drifted", "after": "the first no-op after a change"}


@dataclass(frozen=True)
class Server:
    """CPU of the server, in ms, for one pull or one no-op tick."""

    plain: float
    whole: float  # of a pull with ACLs and attributes, which a tick asks for once a day
    allie: float


@dataclass(frozen=True)
class Budget:
    what: str
    value: float | None
    limit: float | None
    unit: str = ""

    @property
    def measured(self) -> bool:
        return self.value is not None and self.limit is not None

    @property
    def met(self) -> bool:
        return self.value is not None and self.limit is not None and self.value <= self.limit

    def line(self) -> str:
        if self.value is None or self.limit is None:
            return f"| {self.what} | | | not measured |"
        digits = 2 if self.unit == " s" else 1
        figures = f"{self.value:.{digits}f}{self.unit} | {self.limit:.{digits}f}{self.unit}"
        return f"| {self.what} | {figures} | {'met' if self.met else 'NOT met'} |"


def all_budgets(results: Results, server: Server | None) -> list[Budget]:
    return [*_no_op(results), *_growth(results), *_work(results), *_server(server)]


def _ratio(value: float | None, floor: float | None) -> float | None:
    return value / floor if value is not None and floor else None


def _no_op(results: Results) -> list[Budget]:
    tick = cpu(results, 500, ALLIE, "no-op")
    python, rsync = cpu(results, 500, PYTHON, "no-op"), cpu(results, 500, RSYNC, "no-op")
    waited, pulled = wall(results, 500, ALLIE, "no-op"), wall(results, 500, RSYNC, "no-op")
    return [
        Budget("no-op tick, 500 files: CPU", tick, 100, " ms"),
        Budget("the same against `python3 -I -S -c pass`", _ratio(tick, python), 9, " x"),
        Budget("the same against plain `rsync -a`", _ratio(tick, rsync), 9, " x"),
        Budget("no-op tick, 500 files: wall, against plain `rsync -a`", waited, pulled, " ms"),
    ]


def _growth(results: Results) -> list[Budget]:
    """Linear: what a file costs from 500 to 5,000 is at most twice what it costs from 50 to 500.

    The small difference is near the noise, so 5 microseconds a file are allowed on top.
    """
    ticks = [cpu(results, files, ALLIE, "no-op") for files in (50, 500, 5000)]
    floors = [cpu(results, 5000, name, "no-op") for name in (PYTHON, RSYNC)]
    few = _slope(ticks[0], ticks[1], 450)
    return [
        Budget("no-op tick, 5,000 files: CPU", ticks[2], 200, " ms"),
        Budget("the same against `python3 -I -S -c pass`", _ratio(ticks[2], floors[0]), 18, " x"),
        Budget("the same against plain `rsync -a`", _ratio(ticks[2], floors[1]), 8, " x"),
        Budget(
            "no-op tick: CPU a file, 500 to 5,000 against 50 to 500",
            _slope(ticks[1], ticks[2], 4500),
            None if few is None else 2 * max(few, 0) + 5,
            " us",
        ),
    ]


def _slope(small: float | None, large: float | None, files: int) -> float | None:
    return (large - small) * 1000 / files if small is not None and large is not None else None


def _work(results: Results) -> list[Budget]:
    """A tick that has work: against what a no-op tick may take, and against this run's.

    The second gets harder to meet with every millisecond that the no-op tick gets faster.
    """
    found = []
    for files, limit, pythons in ((500, 1.5, 9), (5000, 2.0, 18)):
        idle = cpu(results, files, ALLIE, "no-op")
        python = cpu(results, files, PYTHON, "no-op")
        for case, what in WORK.items():
            busy = cpu(results, files, ALLIE, case)
            allowed = python * pythons * limit if python else None
            words = f"{what}, {files:,} files: CPU, against {limit} x what a no-op tick may take"
            found.append(Budget(words, busy, allowed, " ms"))
            found.append(Budget("the same against this run's", _ratio(busy, idle), limit, " x"))
    return found


def _server(server: Server | None) -> list[Budget]:
    what = "server CPU per no-op tick, against one plain pull and 15 % for noise"
    whole = "the same against one pull with ACLs and attributes (`-aHAX`)"
    if server is None:
        return [Budget(what, None, None), Budget(whole, None, None)]
    return [
        Budget(what, server.allie, server.plain * 1.15, " ms"),
        Budget(whole, server.allie, server.whole * 1.15, " ms"),
    ]


def table(budgets: list[Budget]) -> str:
    head = ["| budget | measured | at most | |", "| --- | ---: | ---: | --- |"]
    return "\n".join([*head, *(budget.line() for budget in budgets)])
