"""Check that this client works here: imports all of itself, reads the settings and the mirror.

A tick runs this with a new client before it puts it in place.
"""

from __future__ import annotations

import importlib

from allie.cli import options
from allie.cli.options import Namespace
from allie.client.boot import menu_partition
from allie.client.mirror import accept, generation
from allie.client.originals import packages
from allie.client.situation import grounds
from allie.client.systems import bring_and_tick
from allie.core import stubs
from allie.core.errors import DONE
from allie.machine import console
from allie.machine.files import directory_identity
from allie.machine.namespaces import sealed_run, trial

_COMMANDS = (
    "enter export join kit_scripts log manual on_sibling pause plan resume rsync_image run_conf"
    " status system undo why"
).split()
CHECKED = [importlib.import_module(f"allie.cli.{name}") for name in _COMMANDS]
# A tick loads them only where it needs them
READ_LATE = (
    accept,
    bring_and_tick,
    directory_identity,
    menu_partition,
    packages,
    sealed_run,
    trial,
)

add_arguments = options.add_root


def run(args: Namespace) -> int:
    """Read what is there; all that was to be imported is imported by now."""
    here = options.system_of(args)
    if here.name and generation.current(here):
        grounds.resolve(here)
    console.say(stubs.WORKS)
    return DONE
