"""Keep this server's store equal to another one, for a second server or one PC in each room.

allie store mirror FROM             now; FROM as a PC names its store: rsync://server
allie store mirror FROM --timer     and have systemd do it again and again
allie store mirror --remove         no more; the store stays as it is
"""

from __future__ import annotations

from allie.cli import options
from allie.cli.options import ArgumentParser, Namespace
from allie.core.errors import ATTENTION, DONE, UsageError
from allie.machine import console
from allie.server.mirroring import mirror, timer


def add_arguments(parser: ArgumentParser) -> None:
    """From where, and how often."""
    parser.add_argument("FROM", nargs="?", default="", help="a store's address")
    options.add_store(parser)
    parser.add_argument("--bwlimit", default="", metavar="RATE", help="take no more (rsync(1))")
    parser.add_argument("--overwrite", action="store_true", help="also a store that is no mirror")
    parser.add_argument("--timer", action="store_true", help="write and enable a systemd timer")
    parser.add_argument("--every", default="", metavar="TIME", help="the timer's pace (15min)")
    parser.add_argument("--remove", action="store_true", help="remove that timer")


def run(args: Namespace) -> int:
    """Do it; 1 where something was left as it is."""
    source: str = args.FROM
    if args.remove:
        if source or args.timer:
            raise UsageError("--remove removes the timer, and does nothing else", "leave out FROM")
        options.say_removed(timer.remove())
        return DONE
    if not source:
        raise UsageError("of which store?", "allie store mirror rsync://server")
    if args.every and not args.timer:
        raise UsageError("--every is the timer's", "add --timer")
    done = mirror.mirror(source, args.store, args.bwlimit, overwrite=args.overwrite)
    for path in done.came:
        console.say(f"brought {path}")
    for path in done.gone:
        console.say(f"removed {path}")
    for words in done.refused:
        console.warn(f"allie: {words}")
    if args.timer:
        for path in timer.install(source, args.store, args.bwlimit, args.every or timer.EVERY):
            console.say(f"wrote {path}")
    if not (done.came or done.gone or done.refused) and console.is_watched():
        console.say(f"{args.store} is equal to {source}")
    return ATTENTION if done.refused else DONE
