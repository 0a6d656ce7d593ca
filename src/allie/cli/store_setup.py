"""Open the doors for good: keys, configurations, accounts and systemd's units.

Each thing that is done is shown; what is already as it is to be is left alone. Run it again after
an update of ALLiE and after a change of store.conf.
"""

from __future__ import annotations

from collections.abc import Iterable

from allie.cli import options
from allie.cli.options import ArgumentParser, Namespace
from allie.core.errors import DONE
from allie.machine import console
from allie.server import places, store, store_conf, systemd
from allie.server.doors.units import Ports
from allie.server.serving import setup


def add_arguments(parser: ArgumentParser) -> None:
    """Which store, where the doors are, or that they are to go."""
    options.add_store(parser)
    options.add_doors(parser)
    parser.add_argument("--remove", action="store_true", help="undo it; the store stays")
    parser.add_argument("--keys", action="store_true", help="--remove: and all keys")


def run(args: Namespace) -> int:
    """Do it, and say what comes next."""
    top = store.need(args.store)
    options.need_root()
    if args.remove:
        _show(setup.remove(top, keys=args.keys))
        return DONE
    asked = setup.Asked(args.address, args.port, args.ssh_port)
    _show(setup.set_up(top, asked))
    where = store_conf.places(top)
    other = setup.writable_by_others(where.etc)
    if other:
        console.warn(f"others than root can write to {other}, and so put keys into {where.etc}")
        console.warn(f"       etc = DIR in {top}/{store_conf.NAME} names another place for them")
    _say_what_comes(top, setup.ports(asked), setup.fingerprint(where))
    return DONE


def _show(done: Iterable[str]) -> None:
    is_any = False
    for line in done:
        console.say(line)
        is_any = True
    if not is_any:
        console.say("nothing changed")


def _say_what_comes(top: str, ports: Ports, fingerprint: str) -> None:
    named = store.named_store(top)
    if not systemd.is_there():
        console.warn("there is no systemd here: nothing listens, and nothing will after a boot")
        console.warn(f"       to serve: allie store serve --ssh{named}")
        return
    address = places.address_of(ports.rsync)
    host = address.partition("//")[2].partition(":")[0]
    console.say_text(f"""
For all:           {address}
Each host's own:   ssh://{host}:{ports.ssh}, whose key is {fingerprint}
On each PC:        allie join {address} --own ssh://{host}:{ports.ssh}
Try both:          allie store serve --check{named}""")
