"""Make this system follow a store: write its settings, install kit and timer, run the first tick.

It needs no options: the image is named after os-release (ID and VERSION_ID, `debian12`), and the
overlays are kit, common and the image's own, those that the store has. Run again, it changes
nothing.
"""

from __future__ import annotations

import time

from allie.cli import options
from allie.cli.options import ArgumentParser, Namespace
from allie.client.setup import join
from allie.client.setup.join import Wishes
from allie.client.tick import report_text
from allie.core.errors import ATTENTION, DONE
from allie.machine import console


def add_arguments(parser: ArgumentParser) -> None:
    """The store, and what shall not be found out."""
    options.add_root(parser, system=False)
    parser.add_argument("store", help="rsync://host[:port]/, ssh://host[:port], or /path")
    parser.add_argument("--own", default="", help="ssh://host[:port]: what is this host's own")
    parser.add_argument("--image", default="", help="this system's image (ID and VERSION_ID)")
    parser.add_argument("--overlays", default="", help="comma-separated, in the order of laying")
    parser.add_argument("--system", default="", help="this system's own name (the image's)")
    parser.add_argument("--host", default="", help="this host's name (the hostname)")
    parser.add_argument("--ring", default="", help="follow releases of it, not working trees")
    parser.add_argument("--no-timer", action="store_true", help="start no ticks by themselves")


def run(args: Namespace) -> int:
    """Join and tick; 1 if something needs attention."""
    said = (args.system, args.image, options.words(args.overlays), args.host, args.ring, args.own)
    wishes = Wishes(args.store, *said, timer=not args.no_timer)
    joined = join.join(options.system_of(args), wishes)
    report, now = joined.report, time.time()
    total = sum(each.changed for each in report.applied)
    console.say(f"joined {args.store}: {total} paths placed; {joined.ticks}")
    lines = [*joined.own, *report_text.report(report, now)]
    for verdict in report.scripts:
        lines += report_text.verdict(verdict, now)
    for line in lines:
        console.say(line)
    return ATTENTION if report.needs_attention or report.contact.trouble else DONE
