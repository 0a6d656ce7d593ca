"""Let ticks work again after a pause or an undo."""

from __future__ import annotations

from allie.cli import options
from allie.client.state import records
from allie.core.errors import DONE
from allie.core.value import TYPE_CHECKING
from allie.machine import console
from allie.machine.roots import open_system

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Root."""
    options.add_root(parser)


def run(args: argparse.Namespace) -> int:
    """End the pause."""
    here = options.system_of(args)
    open_system.need_name(here)
    records.set_pause(here, None)
    console.tell("ticks work again; the next one puts right what has changed meanwhile")
    return DONE
