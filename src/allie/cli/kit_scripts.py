"""What conf scripts of the kit do, by hand: 00overlay, 01overact, 98systems and 99report.

00overlay brings what is new in the overlays and puts it in place; 01overact makes the right
variants active; 98systems fetches this PC's missing systems, ticks each one that is there, and
keeps ALLiE's boot menu up to date; 99report tells the store how the PC is. By hand, on a test PC,
one of them does its work and no other script runs.
"""

from __future__ import annotations

import time

from allie.cli import options
from allie.cli.options import Namespace
from allie.client.systems import look_after
from allie.client.tick import kit, reporting
from allie.core import stubs
from allie.machine.files import lock

add_arguments = options.add_root


def run(args: Namespace) -> int:
    """Do what the script of the verb's name does."""
    here = options.system_of(args)
    if args.verb not in stubs.PARTS:
        return look_after.KIT.work[args.verb](here)
    inside, began = lock.is_inside(here), time.time()
    status, done = kit.do_part(here, stubs.PARTS[args.verb])
    if not inside:  # else it is the tick's to tell
        reporting.by_hand(here, args.verb, done, began)
    return status
