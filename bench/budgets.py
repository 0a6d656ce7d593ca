"""What each tick may cost: a table of limits, each a ratio to something else in the same run.

No limit is in milliseconds: those say as much of the machine as of ALLiE.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.peers import ALLIE, CF_MTIME, EVERY_TICK, OWN, RSYNC, SEED, SIBLING
from bench.results import cpu, of_python, ratio, wall
from bench.world import Results

# CPU of a tick, in times that of a Python which does nothing
NO_OP = {50: 2.5, 500: 3.0, 5000: 8.0}
NO_OP_CHEAP = {5000: 6.0}  # where it asks its store without --delete
NO_OP_RING = {5000: 4.8}  # where it asks for a ring's head alone
OTHERS = {EVERY_TICK: 7.5, SIBLING: 12.0}  # with 500 files: a script's shell; two ticks
CHANGED, DRIFTED = 9.0, 8.0  # with 500 files
OWN_DOOR = 3.0  # what a host's own door adds to a no-op tick: one connection by ssh
JOIN = 12.0  # in times a plain pull's, with 500 files
SERVER = 1.1  # in times a plain pull's: no more than that, and 10 % for the noise


@dataclass(frozen=True)
class Server:
    """CPU of the server, in ms, for one pull or one no-op tick."""

    plain: float
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

    @property
    def figures(self) -> tuple[str, str]:
        """What was measured, and what may be, in words."""
        if self.value is None or self.limit is None:
            return "", ""
        digits = 1 if self.unit == " MB" else 2
        value, limit = (f"{each:.{digits}f}{self.unit}" for each in (self.value, self.limit))
        return value, limit

    def line(self) -> str:
        verdict = "not measured" if not self.measured else "met" if self.met else "NOT met"
        return f"| {self.what} | {' | '.join(self.figures)} | {verdict} |"


def all_budgets(
    results: Results, server: Server | None, questions: Mapping[int, Sequence[str]]
) -> list[Budget]:
    """Every budget of the tick. questions: the rsync that a no-op tick runs, by files."""
    sizes = [files for files in NO_OP if any(key[0] == files for key in results)]
    return [
        *(each for files in sizes for each in _no_op(results, files, questions.get(files, ()))),
        *_work(results),
        Budget(
            "server's CPU for a no-op tick, 500 files, against a plain pull's",
            server.allie / server.plain if server else None,
            SERVER,
            " x",
        ),
    ]


def no_op_limit(files: int, question: Sequence[str]) -> tuple[float, str]:
    """What a no-op tick may cost that asks its store so, and how it asks, in words."""
    if any("/heads/" in word for word in question):
        return NO_OP_RING.get(files, NO_OP[files]), ", on a ring"
    if question and "--delete" not in question:
        return NO_OP_CHEAP.get(files, NO_OP[files]), ", asked without --delete"
    return NO_OP[files], ""


def _no_op(results: Results, files: int, question: Sequence[str]) -> list[Budget]:
    limit, asked = no_op_limit(files, question)
    tick = (files, ALLIE, "no-op")
    what = f"no-op tick, {files:,} files{asked}: CPU, against"
    found = [Budget(f"{what} Python's start", of_python(results, tick), limit, " x")]
    for peer in (CF_MTIME, SEED):
        against = ratio(results, cpu, tick, (files, peer, "no-op"))
        found.append(Budget(f"{what} {peer}", against, 1.0, " x"))
    waited = ratio(results, wall, tick, (files, RSYNC, "no-op"))
    words = f"no-op tick, {files:,} files: wall, against plain `rsync -a`"
    return [*found, Budget(words, waited, 1.0, " x")]


def _work(results: Results) -> list[Budget]:
    """Ticks that have something to do, and other PCs, with 500 files."""
    limits = {
        "5 files changed on the server": (ALLIE, "changed", CHANGED),
        "5 files changed on the PC": (ALLIE, "drifted", DRIFTED),
        "no-op tick after an update of the client": (ALLIE, "updated", NO_OP[500]),
        "no-op tick, a script every tick": (EVERY_TICK, "no-op", OTHERS[EVERY_TICK]),
        "no-op tick, two systems": (SIBLING, "no-op", OTHERS[SIBLING]),
    }
    found = []
    for words, (peer, case, limit) in limits.items():
        value = of_python(results, (500, peer, case))
        what = f"{words}, 500 files: CPU, against Python's start"
        found.append(Budget(what, value, limit, " x"))
    ticks = [of_python(results, (500, peer, "no-op")) for peer in (OWN, ALLIE)]
    more = ticks[0] - ticks[1] if ticks[0] and ticks[1] else None
    words = "what a host's own door adds to a no-op tick, 500 files: CPU, against Python's start"
    found.append(Budget(words, more, OWN_DOOR, " x"))
    first = ratio(results, cpu, (500, ALLIE, "first"), (500, RSYNC, "first"))
    return [*found, Budget("join, 500 files: CPU, against a plain pull's", first, JOIN, " x")]


def table(budgets: list[Budget]) -> str:
    head = ["| budget | measured | at most | |", "| --- | ---: | ---: | --- |"]
    return "\n".join([*head, *(budget.line() for budget in budgets)])


def say_broken(budgets: list[Budget], *, full: bool) -> int:
    """Name those that are not met, full: or were not measured; the exit status for it."""
    status = 0
    for each in budgets:
        if not each.met and (each.measured or full):
            words = "{}, at most {}".format(*each.figures) if each.measured else "not measured"
            print(f"bench: not met: {each.what}: {words}", file=sys.stderr)
            status = 1
    return status
