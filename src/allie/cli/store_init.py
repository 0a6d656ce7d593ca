"""Make a store, or refresh its kit. Loses nothing; run it again after each update of ALLiE."""

from __future__ import annotations

import os

from allie.cli import options
from allie.cli.options import Namespace
from allie.core.errors import DONE
from allie.machine import console
from allie.server import places, store

add_arguments = options.add_store


def run(args: Namespace) -> int:
    """Do it, and say what comes next."""
    for path in store.init(args.store):
        console.say(f"wrote {args.store}/{path}")
    url = places.address_of(places.RSYNC_PORT)
    named = store.named_store(args.store)
    console.say_text(f"""
The store is {os.path.realpath(args.store)}. What you put below overlays/common lands on every PC.
Serve it:      allie store serve{named}      for good: allie store setup{named}
On each PC:    rsync {url}/overlays/kit/usr/local/bin/allie /usr/local/bin/
               allie join {url}""")
    return DONE
