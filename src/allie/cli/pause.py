"""Let ticks only report: they fetch, change nothing and run no scripts, until `allie resume`."""

from __future__ import annotations

import time

from allie.cli import options
from allie.client import state
from allie.core.errors import DONE, UsageError
from allie.core.script import parse_span
from allie.core.value import TYPE_CHECKING
from allie.machine import console, locate

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """For how long, and why."""
    options.add_root(parser)
    parser.add_argument(
        "--for", dest="span", metavar="SPAN", help="30m, 12h, 3d; else until resume"
    )
    parser.add_argument("reason", nargs="*", help="shown by status")


def run(args: argparse.Namespace) -> int:
    """Begin the pause."""
    here = options.system_of(args)
    locate.need_name(here)
    seconds = parse_span(args.span) if args.span else 0
    if seconds is None:
        raise UsageError(f"{args.span!r} is not a span of time", "30m, 12h, 3d")
    reason = " ".join(args.reason) or "paused by hand"
    state.set_pause(here, state.Pause(reason, time.time() + seconds if seconds else 0.0))
    console.tell("ticks only report from now on; `allie resume` ends that")
    return DONE
