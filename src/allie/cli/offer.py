"""Offer this machine's system for one capture into a store: the golden machine's end.

allie offer /            the running system; other file systems are not offered
allie offer /dev/sda3    a system that does not run; mounted read-only for the time

It shows what to type on the server, and ends after one complete capture, or with Ctrl-C.
"""

from __future__ import annotations

from allie.cli import options
from allie.cli.options import ArgumentParser, Namespace
from allie.client.use import offer
from allie.core.errors import DONE, AllieError
from allie.core.image import offering
from allie.machine import console


def add_arguments(parser: ArgumentParser) -> None:
    """What, and to whom."""
    parser.add_argument("dir", metavar="DEVICE|DIR", help="/ is the running system")
    parser.add_argument("--to", default="", metavar="HOST", help="only to this host (name or net)")
    parser.add_argument(
        "--port", type=options.port, default=offering.PORT, help=f"listen here ({offering.PORT})"
    )


def run(args: Namespace) -> int:
    """Offer until it was captured."""
    with offer.open_offer(args.dir, args.to, args.port) as offered:
        for disk in offered.other_disks:
            console.say(f"not offered: {disk}: another file system (capture's --with takes it in)")
        console.say("On the server (NAME is the image's name):")
        console.say(f"  {offered.command}")
        if not console.is_heard():
            raise AllieError("what to type on the server could not be shown: nothing is offered")
        console.warn("waiting for one capture; Ctrl-C ends it")
        said = offer.wait(offered)
    console.say(f"captured as {said}")
    return DONE
