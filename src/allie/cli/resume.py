"""Let ticks work again after a pause or an undo."""

from __future__ import annotations

from allie.cli import options
from allie.cli.options import Namespace
from allie.client.state import records
from allie.core.errors import DONE
from allie.machine import console

add_arguments = options.add_root


def run(args: Namespace) -> int:
    """End the pause."""
    here = options.joined_system(args)
    was = records.pause(here)
    records.set_pause(here, None)
    again = "ticks work again; the next one puts right what has changed meanwhile"
    console.tell(again if was else "ticks are not paused")
    return DONE
