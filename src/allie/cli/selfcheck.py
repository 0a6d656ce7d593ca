"""Check that this client works here: imports all of itself, reads the settings and the mirror.

A tick runs this with a new client before it puts it in place.
"""

from __future__ import annotations

import importlib

from allie.cli import options
from allie.cli.options import Namespace
from allie.client.mirror import generation
from allie.client.situation import grounds
from allie.core import stubs
from allie.core.errors import DONE
from allie.machine import console

_COMMANDS = (
    "enter export join kit_scripts log manual on_sibling pause plan resume rsync_image run_conf"
    " status system undo why"
).split()
_READ_LATE = (  # by a tick that needs them
    "client.boot.menu_partition client.mirror.accept client.mirror.own_door"
    " client.originals.packages client.systems.bring_and_tick client.systems.send_report"
    " machine.namespaces.sealed_run machine.namespaces.trial machine.transfer.ssh_door"
).split()
for _name in (*(f"cli.{each}" for each in _COMMANDS), *_READ_LATE):
    importlib.import_module(f"allie.{_name}")

add_arguments = options.add_root


def run(args: Namespace) -> int:
    """Read what is there; all that was to be imported is imported by now."""
    here = options.system_of(args)
    if here.name and generation.current(here):
        grounds.resolve(here)
    console.say(stubs.WORKS)
    return DONE
