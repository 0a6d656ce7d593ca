"""Make a store, or serve it.

allie store init     make it, or refresh its kit; run again after each update of ALLiE
allie store serve    serve it with rsync's own daemon, in the foreground
"""

from __future__ import annotations

import os

from allie.cli.options import ArgumentParser, Namespace
from allie.core.errors import DONE
from allie.machine import console
from allie.server import places, serve, store

DEFAULT = "/srv/allie"


def add_arguments(parser: ArgumentParser) -> None:
    """init and serve."""
    parser.add_argument("action", choices=("init", "serve"))
    add_store(parser)
    parser.add_argument("--address", default="", help="serve: listen here (everywhere)")
    parser.add_argument("--port", type=int, default=places.RSYNC_PORT, help="serve: and here (873)")


def add_store(parser: ArgumentParser) -> None:
    """--store: which store."""
    default = os.environ.get("ALLIE_STORE") or DEFAULT
    parser.add_argument("--store", default=default, metavar="DIR", help=f"the store ({default})")


def run(args: Namespace) -> int:
    """Do it."""
    if args.action == "serve":
        words = f"serving {args.store} on port {args.port}; Ctrl-C ends it"
        return serve.serve(args.store, args.address, args.port, lambda: console.warn(words))
    for path in store.init(args.store):
        console.say(f"wrote {args.store}/{path}")
    url = serve.address_of(args.port)
    console.say_text(f"""
The store is {os.path.realpath(args.store)}. What you put below overlays/common lands on every PC.
Serve it:      allie store serve{_options(args)}
On each PC:    rsync {url}/overlays/kit/usr/local/bin/allie /usr/local/bin/
               allie join {url}""")
    return DONE


def _options(args: Namespace) -> str:
    """What `serve` needs to serve this store at this port."""
    store = "" if args.store == DEFAULT else f" --store {args.store}"
    return store + ("" if args.port == places.RSYNC_PORT else f" --port {args.port}")
