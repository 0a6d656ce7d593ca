"""Make a store, serve it, and say who is served what.

allie store init     make it, or refresh its kit; run again after each update of ALLiE
allie store setup    open its doors for good: keys, configurations, accounts, systemd's units
allie store serve    serve it in the foreground; show and try what setup has opened
allie store enrol    let hosts in at the ssh door, each to what is its own
allie store retire   let a host in no more
allie store private  make the place of what is for one host alone
allie store mirror   keep it equal to another one

allie store ACTION --help says more.
"""

from __future__ import annotations

from allie.cli import (
    options,
    store_enrol,
    store_init,
    store_mirror,
    store_private,
    store_retire,
    store_serve,
    store_setup,
)
from allie.cli.options import ArgumentParser, Namespace

# action → its module, with `add_arguments` and `run` as a command's has them; in the help's order
ACTIONS = {
    "init": store_init,
    "setup": store_setup,
    "serve": store_serve,
    "enrol": store_enrol,
    "retire": store_retire,
    "private": store_private,
    "mirror": store_mirror,
}


def add_arguments(parser: ArgumentParser) -> None:
    """The action; what else there is to say belongs to it."""
    parser.add_argument("action", choices=tuple(ACTIONS))
    options.add_store(parser)


def run(args: Namespace) -> int:
    """Do it."""
    return int(ACTIONS[args.action].run(args))
