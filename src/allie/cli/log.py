"""Show what ticks did, newest last; ticks in which nothing happened are left out."""

from __future__ import annotations

import time

from allie.cli import options
from allie.cli.options import ArgumentParser, Namespace
from allie.client.state import records
from allie.client.tick import report_text
from allie.core.change.report import Report
from allie.core.errors import DONE
from allie.machine import console


def add_arguments(parser: ArgumentParser) -> None:
    """How many, and whether with paths."""
    options.add_view(parser)
    parser.add_argument(
        "-n", type=options.number, default=20, metavar="N", help="the last N ticks (20)"
    )
    parser.add_argument("--paths", action="store_true", help="name the paths, too")


def run(args: Namespace) -> int:
    """Print the history."""
    here = options.joined_system(args)
    known = records.history(here)[-args.n :] if args.n > 0 else []
    if not known and not args.json:
        console.tell("nothing has happened yet")
    lines = [line for each in known for line in _lines(each, paths=args.paths)]
    options.show(args, known, lines)
    return DONE


def _lines(tick: Report, *, paths: bool) -> list[str]:
    """One tick: when, by which command if by hand, and what it did; paths: each path, too."""
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(tick.began))
    by_hand = tick.named or tick.verb != "run-conf"
    verb = f"{' '.join([tick.verb, *tick.named])} by hand: " if by_hand else ""
    lines = [f"{tick.tick:>6}  {when}  {verb}{report_text.summary(tick, done=True)}"]
    for part in tick.own if paths else ():
        lines += [f"        {line}" for line in report_text.applied(part) if not part.paused]
    return lines
