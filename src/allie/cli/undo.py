"""Put back what the last tick replaced (or all ticks back to TICK), and pause.

A file that was changed again since stays as it is. `allie resume` lets ticks work again; they then
bring back what the store says. `allie log` shows the numbers of the ticks.
"""

from __future__ import annotations

import time

from allie.cli import options
from allie.cli.options import ArgumentParser, Namespace
from allie.client.apply import undo
from allie.client.apply.undo import Undone
from allie.client.state import records
from allie.client.tick import reporting
from allie.core.change import report as reports
from allie.core.change.report import Applied
from allie.core.change.resolution import Problem
from allie.core.errors import ATTENTION, DONE
from allie.machine import console


def add_arguments(parser: ArgumentParser) -> None:
    """A tick."""
    options.add_root(parser)
    parser.add_argument(
        "tick", nargs="?", type=options.number, help="undo all ticks back to this one"
    )


def run(args: Namespace) -> int:
    """Undo; 1 if a path was left as it is."""
    here = options.joined_system(args)
    began = time.time()
    undone = undo.undo(here, args.tick)
    done = _as_done(records.last_tick(here), undone)
    reporting.by_hand(here, "undo", done, began)
    for real, there in undone.back.items():
        console.say(f"{'put back' if there else 'removed'}: /{real}")
    for real, why in undone.left.items():
        console.warn(f"left as it is: /{real}: {why}")
    if undone.keeps_kit:
        console.say("the kit stays: ticks need it")
    console.say("ticks are paused; `allie resume` ends that")
    return ATTENTION if undone.left else DONE


def _as_done(tick: int, undone: Undone) -> Applied:
    """What was undone, for the history."""
    did: dict[str, list[str]] = {}
    for real, there in undone.back.items():
        did.setdefault("put back" if there else "removed", []).append(real)
    problems = [Problem(real, why) for real, why in undone.left.items()]
    return reports.applied(tick, "undo", did, problems)
