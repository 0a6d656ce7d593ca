"""Show how all PCs stand: equal ones in one line, then what is not well, worst first.

allie fleet [HOSTS]                    pc07, pc[01-20], lab*; without: all that are expected
allie fleet HOST                       everything about one
allie fleet --script NAME              who has a conf script in which state
allie fleet --log [HOST|PATH]          what changed where, and when
allie fleet adopt [HOST PATH]          a hand fix that a PC offers: show it, and take it
"""

from __future__ import annotations

import time

from allie.cli import fleet_adopt, fleet_groups, fleet_watch, options
from allie.cli.options import ArgumentParser, Namespace
from allie.core.errors import ATTENTION, DONE, UsageError
from allie.machine import console
from allie.server import store
from allie.server.fleet import fleet as fleets
from allie.server.fleet.fleet import Fleet
from allie.server.fleet.host_sets import fold
from allie.server.views import exchange, one_pc, one_script, overview, selection
from allie.server.views.selection import Selection
from allie.server.views.words import many

ACTIONS = {"adopt": fleet_adopt}
_BY_STATE = {
    "stale": "not heard of for much longer than usual",
    "failing": "with a script that fails, or a path that cannot be placed",
    "missing": "that never reported, or not in a way that can be read",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Which PCs, and which view."""
    parser.add_argument("host", nargs="*", metavar="HOSTS", help="these alone (all)")
    options.add_store(parser)
    options.add_json(parser)
    parser.add_argument("--names", action="store_true", help="print their host set alone")
    for name, what in (("class", "of this class"), ("system", "with this system")):
        words = f"those {what}"
        parser.add_argument(
            f"--{name}", action="append", default=[], dest=f"{name}_", metavar="NAME", help=words
        )
    words = f"those that stand so, whatever else is wrong: {', '.join(fleets.STATES)}"
    asked = parser.add_argument("--state", action="append", default=[], help=words)
    asked.choices, asked.metavar = fleets.STATES, "STATE"
    for state, what in _BY_STATE.items():
        parser.add_argument(f"--{state}", action="store_true", help=f"those {what}")
    parser.add_argument("--drift", action="store_true", help="those that were changed by hand")
    words = "who has this conf script in which state"
    parser.add_argument("--script", default="", metavar="NAME", help=words)
    fleet_groups.add_arguments(parser)
    fleet_watch.add_arguments(parser)


def run(args: Namespace) -> int:
    """Print it; 1 if something of what was asked for needs attention."""
    action = getattr(args, "action", "")
    if action:
        return int(ACTIONS[action].run(args))
    if fleet_watch.is_asked(args):
        return fleet_watch.run(args)
    place = store.need(args.store)
    if args.names and args.json:
        raise UsageError("--names and --json are two forms", "take one of them")
    asked = _asked(args)
    whole = fleets.load(place, time.time())
    if fleet_groups.is_asked(args):
        return fleet_groups.run(args, whole)
    fleet = selection.selected(whole, asked)
    if args.names:
        return _names(fleet)
    if args.json:
        for line in exchange.lines(fleet):
            console.say(line)
    else:
        _show(fleet, whole, asked)
    if asked.script:
        return ATTENTION if one_script.failing(fleet, asked.script) else DONE
    return ATTENTION if overview.needs_attention(fleet) else DONE


def _asked(args: Namespace) -> Selection:
    states = [*args.state, *(state for state in _BY_STATE if getattr(args, state))]
    hosts, classes, systems = map(tuple, (args.host, args.class_, args.system_))
    return Selection(hosts, classes, systems, tuple(states), args.script, args.drift)


def _names(fleet: Fleet) -> int:
    """A host set for other programs; nothing where it is empty, which is no failure."""
    text = fold(pc.host for pc in fleet.pcs)
    if text:
        console.say(text)
    return DONE


def _show(fleet: Fleet, whole: Fleet, asked: Selection) -> None:
    for words in fleet.troubles:
        console.warn(console.paint(f"warning: {words}", "warn"))
    if not whole.pcs:
        lines = overview.nobody(fleet)
    elif asked.script:
        lines = one_script.lines(fleet, asked.script)
    elif asked.one and len(fleet.pcs) == 1:
        lines = one_pc.lines(fleet.pcs[0], fleet.store, fleet.now)
    elif not fleet.pcs:
        lines = [f"none of {many(len(whole.pcs), 'PC')}"]
    else:
        lines = overview.lines(fleet, whole, drift=asked.drift)
    for line in lines:
        console.say(line)
