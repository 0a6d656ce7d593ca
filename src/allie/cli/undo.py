"""Put back what the last tick replaced (or all ticks back to TICK), and pause.

A file that was changed again since stays as it is. `allie resume` lets ticks work again; they then
bring back what the store says. `allie log` shows the numbers of the ticks.
"""

from __future__ import annotations

from allie.cli import options
from allie.client import undo
from allie.core.errors import ATTENTION, DONE
from allie.core.value import TYPE_CHECKING
from allie.machine import console, locate

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A tick."""
    options.add_root(parser)
    parser.add_argument("tick", nargs="?", type=int, help="undo all ticks back to this one")


def run(args: argparse.Namespace) -> int:
    """Undo; 1 if a path was left as it is."""
    here = options.system_of(args)
    locate.need_name(here)
    back, left, kit = undo.undo(here, args.tick)
    for real, there in back.items():
        console.say(f"{'put back' if there else 'removed'}: /{real}")
    for real in left:
        console.warn(f"left, since it changed again: /{real}")
    if kit:
        console.say("the kit stays: ticks need it")
    console.say("ticks are paused; `allie resume` ends that")
    return ATTENTION if left else DONE
