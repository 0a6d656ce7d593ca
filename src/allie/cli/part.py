"""Bring the overlays (00overlay), or make the right variants active (01overact).

These are conf scripts of the kit. By hand on a test PC, running them fetches what is new in the
store and puts it in place, and runs no other script.
"""

from __future__ import annotations

import time

from allie.cli import options
from allie.cli.options import Namespace
from allie.client.tick import kit, reporting
from allie.core import stubs
from allie.machine.files import lock

add_arguments = options.add_root


def run(args: Namespace) -> int:
    """Run the part that the verb names."""
    here = options.system_of(args)
    inside, began = lock.is_inside(here), time.time()
    status, done = kit.do_part(here, stubs.PARTS[args.verb])
    if not inside:  # else it is the tick's to tell
        reporting.by_hand(here, args.verb, done, began)
    return status
