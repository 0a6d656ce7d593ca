"""Make the place of what is for one host alone: private/HOST, the last overlay of all its systems.

Only that host gets it, by the ssh door, once it is enrolled. It has variants and scripts as any.
"""

from __future__ import annotations

from allie.cli import options
from allie.cli.options import ArgumentParser, Namespace
from allie.core.errors import DONE
from allie.machine import console
from allie.server import store, store_conf
from allie.server.doors import enrolled, host_places


def add_arguments(parser: ArgumentParser) -> None:
    """Whose."""
    parser.add_argument("host", help="the host")
    options.add_store(parser)


def run(args: Namespace) -> int:
    """Do it, and say what goes there."""
    places = store_conf.places(store.need(args.store))
    named = store.named_store(places.store)
    host = enrolled.check_host(args.host)
    place = places.private(host)
    for path in host_places.make_private(places, host):
        console.say(f"made {path}, mode 0700")
    console.say(f"put a file in:  install -D -m 600 FILE {place}/etc/FILE")
    console.say(f"look at it:     allie overlay lint private/{host}{named}")
    if host not in {each.host for each in enrolled.read(places)}:
        enrol = f"allie store enrol {host} 'ssh-ed25519 AAAA…'{named}"
        console.say(f"{host} gets it once it is enrolled: {enrol}")
    return DONE
