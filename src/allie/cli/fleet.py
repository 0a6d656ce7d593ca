"""Show how all PCs stand: equal ones in one line, then what is not well, worst first.

allie fleet [HOSTS]                    pc07, pc[01-20], lab*; without: all that are expected
allie fleet HOST                       everything about one
allie fleet --log [HOST|PATH]          what changed where, and when
allie fleet adopt [HOST PATH]          a hand fix that a PC offers: show it, and take it
"""

from __future__ import annotations

import time

from allie.cli import fleet_adopt, fleet_watch, options
from allie.cli.options import ArgumentParser, Namespace
from allie.core.errors import ATTENTION, DONE
from allie.server import store
from allie.server.fleet import fleet as fleets

ACTIONS = {"adopt": fleet_adopt}


def add_arguments(parser: ArgumentParser) -> None:
    """Which PCs, and which view."""
    parser.add_argument("host", nargs="*", metavar="HOSTS", help="these alone (all)")
    options.add_store(parser)
    options.add_json(parser)
    fleet_watch.add_arguments(parser)


def run(args: Namespace) -> int:
    """Print it; 1 if something needs attention."""
    action = getattr(args, "action", "")
    if action:
        return int(ACTIONS[action].run(args))
    place = store.need(args.store)
    if fleet_watch.is_asked(args):
        return fleet_watch.run(args, place)
    fleet = fleets.load(place, time.time())
    return ATTENTION if any(each.state in fleets.ATTENTION for each in fleet.pcs) else DONE
