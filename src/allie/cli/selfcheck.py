"""Check that this client works here: imports all of itself, reads the settings and the mirror.

A tick runs this with a new client before it puts it in place.
"""

from __future__ import annotations

from allie.cli import (
    enter,
    export,
    join,
    log,
    manual,
    on_sibling,
    options,
    pause,
    plan,
    resume,
    rsync_image,
    run_conf,
    status,
    system,
    undo,
    why,
)
from allie.client.mirror import generation
from allie.client.situation import grounds
from allie.client.systems import siblings
from allie.core import stubs
from allie.core.errors import DONE
from allie.core.value import TYPE_CHECKING
from allie.machine import console
from allie.machine.confined import sealed_run

if TYPE_CHECKING:
    import argparse


CHECKED = (
    *(on_sibling, enter, export, join, log, manual, pause, plan, resume, rsync_image, run_conf),
    *(status, system, undo, why),
)
READ_LATE = (sealed_run, siblings)  # in a tick only where it is needed; here in any case


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Root."""
    options.add_root(parser)


def run(args: argparse.Namespace) -> int:
    """Everything is imported by now; what is left is to read what is there."""
    here = options.system_of(args)
    if here.name and generation.current(here):
        grounds.resolve(here)
    console.say(stubs.WORKS)
    return DONE
