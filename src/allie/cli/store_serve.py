"""Serve a store in the foreground; show and try the doors that `setup` opened.

allie store serve                   rsync's own daemon: what everybody may read
allie store serve --ssh             and sshd beside it: each host's own
allie store serve --print PART      what `setup` writes: systemd, rsyncd or sshd; or haproxy
allie store serve --check [HOST]    try from outside what can be read and written, and by whom
"""

from __future__ import annotations

import os

from allie.cli import options
from allie.cli.options import ArgumentParser, Namespace
from allie.core.errors import ATTENTION, DONE
from allie.machine import console
from allie.server import mirror_state, places, store, store_conf
from allie.server.places import Places
from allie.server.serving import check, foreground, own_files, printed, setup

_HERE = "127.0.0.1"  # --check without an address: this server


def add_arguments(parser: ArgumentParser) -> None:
    """Which store, where it listens, and what else is to be done with its doors."""
    options.add_store(parser)
    options.add_doors(parser)
    parser.add_argument("--ssh", action="store_true", help="open the ssh door, too")
    parser.add_argument(
        "--print", dest="part", choices=printed.PARTS, help="print what it is set up with"
    )
    parser.add_argument(
        "--check", nargs="?", const="", metavar="ADDRESS", help="try the doors from outside"
    )


def run(args: Namespace) -> int:
    """Serve until somebody ends it, or do what is asked for."""
    asked = setup.Asked(args.address, args.port, args.ssh_port)
    if args.part:
        console.say_text(printed.part(store.need(args.store), args.part, asked))
        return DONE
    if args.check is not None:
        return _check(args, asked)
    state = mirror_state.read(args.store)
    if state:
        console.warn(f"{args.store} is {state.words}")
    port, ssh_port = args.port or places.RSYNC_PORT, args.ssh_port or places.SSH_PORT
    if not args.ssh:
        words = f"serving {args.store} on port {port}; Ctrl-C ends it"
        return foreground.serve(args.store, args.address or "", port, lambda: console.warn(words))
    words = f"serving {args.store} on ports {port} and {ssh_port} (ssh); Ctrl-C ends it"
    return foreground.serve(
        args.store, args.address or "", port, lambda: console.warn(words), ssh_port
    )


def _check(args: Namespace, asked: setup.Asked) -> int:
    """Show who can do what; exit 1 where that is not as it should be."""
    where = setup.ports(asked)
    here = _own_places(args.store)
    if here and args.check and not check.is_server_of(args.check, where.ssh, here):
        here = None  # a store is here, too: a mirror perhaps
    flaws = own_files.flaws(here) if here else []
    is_well = not flaws
    with check.table(args.check or where.address or _HERE, where, here) as table:
        widths = [max(len(name), 4) for name in table.callers]
        console.say("  ".join(["".ljust(table.width), *table.callers]))
        for row in table.rows:
            cells = [_cell(*each) for each in zip(row.can, row.should, widths)]
            wrong = "" if row.is_well else "  <- should not be so"
            console.say("  ".join([row.what.ljust(table.width), *cells]).rstrip() + wrong)
            is_well = is_well and row.is_well
    if not here:
        console.say("what hosts may do is tried on the server itself, by root")
    for flaw in flaws:
        console.warn(flaw)
    return DONE if is_well else ATTENTION


def _own_places(directory: str) -> Places | None:
    """The store's, if it is here and we are its root."""
    is_ours = os.geteuid() == 0 and os.path.isfile(f"{directory}/{store_conf.NAME}")
    return store_conf.places(store.need(directory)) if is_ours else None


def _cell(can: bool, should: bool, width: int) -> str:
    return (("yes" if can else "no") + "!" * (can != should)).ljust(width)
