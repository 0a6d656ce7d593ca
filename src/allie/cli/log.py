"""Show what ticks did, newest last; ticks in which nothing happened are left out."""

from __future__ import annotations

import time

from allie.cli import options
from allie.client.state import records
from allie.client.tick import report_text
from allie.core.change import report as reports
from allie.core.errors import DONE
from allie.core.value import TYPE_CHECKING
from allie.machine import console
from allie.machine.roots import open_system

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How many, and whether with paths."""
    options.add_root(parser)
    options.add_json(parser)
    parser.add_argument("-n", type=int, default=20, metavar="N", help="the last N ticks (20)")
    parser.add_argument("--paths", action="store_true", help="name the paths, too")


def run(args: argparse.Namespace) -> int:
    """Print the history."""
    here = options.system_of(args)
    open_system.need_name(here)
    known = records.history(here)[-args.n :] if args.n > 0 else []
    if args.json:
        options.say_json([reports.to_json(each) for each in known])
        return DONE
    if not known:
        console.tell("nothing has happened yet")
    for each in known:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(each.began))
        words = f"{each.verb}{' '.join(['', *each.named])} by hand: "
        verb = words if each.named or each.verb != "run-conf" else ""
        console.say(f"{each.tick:>6}  {when}  {verb}{report_text.summary(each, done=True)}")
        if args.paths:
            for part in each.own:
                for line in report_text.applied(part) if not part.paused else ():
                    console.say(f"        {line}")
    return DONE
