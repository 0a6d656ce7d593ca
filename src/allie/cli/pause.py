"""Let ticks only report: they fetch, change nothing and run no scripts, until `allie resume`."""

from __future__ import annotations

import time

from allie.cli import options
from allie.cli.options import ArgumentParser, Namespace
from allie.client.state import records
from allie.core.errors import DONE, UsageError
from allie.core.script import parse_span
from allie.machine import console


def add_arguments(parser: ArgumentParser) -> None:
    """For how long, and why."""
    options.add_root(parser)
    parser.add_argument(
        "--for", dest="span", metavar="SPAN", help="30m, 12h, 3d; else until resume"
    )
    parser.add_argument("reason", nargs="*", help="shown by status")


def run(args: Namespace) -> int:
    """Begin the pause."""
    here = options.joined_system(args)
    span = args.span
    seconds = parse_span(span) if span is not None else 0
    if span is not None and span.isdigit():  # of scripts it would be seconds; here that is a slip
        raise UsageError(f"--for {span}: of what?", f"{span}m, {span}h, {span}d")
    if span is not None and not seconds:
        raise UsageError(f"--for {span!r} is not a span of time", "30m, 12h, 3d")
    reason = " ".join(args.reason) or "paused by hand"
    until = time.time() + seconds if seconds else 0.0
    pause = records.Pause(reason, until)
    records.set_pause(here, pause)
    console.tell(f"ticks only report{pause.end or ' from now on'}; `allie resume` ends that")
    return DONE
