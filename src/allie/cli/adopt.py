"""Offer a hand fix: a file of the overlays that was changed here by hand.

allie adopt PATH               show how it differs from the store's file; ask, and offer it
allie adopt --list             what this PC offers, and what became of it
allie adopt --withdraw PATH    offer it no more
"""

from __future__ import annotations

from allie.cli import consent, options
from allie.cli.options import ArgumentParser, Namespace
from allie.client.situation import hand_fixes, settings_in_force
from allie.client.situation.hand_fixes import OFFERED, TAKEN, Judged
from allie.client.use import adopt
from allie.core.change import difference, hand_fix
from allie.core.errors import DONE, UsageError
from allie.core.system import System
from allie.machine import console
from allie.machine.files import lock


def add_arguments(parser: ArgumentParser) -> None:
    """Which file."""
    parser.add_argument("path", nargs="?", help="the file")
    options.add_root(parser)
    options.add_json(parser)
    words = "why, for the store's administrator"
    parser.add_argument("--reason", default="", metavar="TEXT", help=words)
    parser.add_argument("--list", action="store_true", help="what is offered, and how it stands")
    parser.add_argument("--withdraw", action="store_true", help="offer this file no more")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(args: Namespace) -> int:
    """Show the difference, ask, and offer it."""
    here = options.joined_system(args)
    if args.list and not args.path and not args.withdraw:
        return _list(here, args)
    options.no_json(args)
    if args.list or not args.path:
        raise UsageError("adopt needs one PATH, or --list alone", "allie adopt /etc/motd")
    options.need_root()
    path = options.path_of(here, args.path)
    return _withdraw(here, path) if args.withdraw else _offer(here, path, args)


def _offer(here: System, path: str, args: Namespace) -> int:
    inbox = adopt.need_inbox(here, settings_in_force.settings_of(here))
    found = adopt.find(here, path, args.reason)
    source = found.fix.source
    if found.tick:
        console.say(f"tick {found.tick} has put the store's file back; it found this there:")
    names = (f"{source} (the store's)", f"/{found.real} (here)")
    consent.difference(difference.lines(found.store, found.fix.content, names))
    consent.need("Offer this to the store's administrator?", "nothing is offered", yes=args.yes)
    adopt.offer(here, found)
    console.say(f"offered for {source}: {adopt.when(here)}")
    console.say(f"  to {inbox}; owner and mode stay the store's")
    if not found.tick:
        console.say("  the next tick puts the store's file back here; what is offered is kept")
    if lock.is_running(here):
        console.say("  a tick is running now: it may go with that one, or with the next")
    return DONE


def _withdraw(here: System, path: str) -> int:
    offered = [each.path for each in hand_fixes.kept(here)]
    if not hand_fixes.forget(here, path):
        words = ", ".join(f"/{each}" for each in offered)
        raise UsageError(f"/{path} is not offered", f"offered: {words}" if words else "")
    console.say(f"/{path} is offered no more: {adopt.when(here)}")
    return DONE


def _list(here: System, args: Namespace) -> int:
    rows = hand_fixes.judged(here)
    value = [hand_fix.shown(each.fix, each.state, each.why) for each in rows]
    options.show(args, value, [line for each in rows for line in _lines(each)])
    if not rows and not args.json:
        console.say("nothing is offered")
    return DONE


def _lines(judged: Judged) -> list[str]:
    looks = {OFFERED: "warn", TAKEN: "good"}
    state = console.paint(f"{judged.state:<8}", looks.get(judged.state, "bad"))
    lines = [f"{state} /{judged.fix.path}  for {judged.fix.source}"]
    lines += [f"         {judged.fix.reason}"] if judged.fix.reason else []
    if judged.state not in (OFFERED, TAKEN):
        again = f"offer it again, or `allie adopt --withdraw /{judged.fix.path}`"
        lines.append(f"         {judged.why}: {again}")
    return lines
