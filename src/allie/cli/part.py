"""Bring the overlays (00overlay), or make the right variants active (01overact).

These are conf scripts of the kit. By hand on a test PC, running them fetches what is new in the
store and puts it in place, and runs no other script.
"""

from __future__ import annotations

import time

from allie.cli import options, show
from allie.client import part, reporting, state
from allie.core import stubs
from allie.core.errors import ATTENTION, DONE, FAULT, AllieError
from allie.core.report import Applied, Contact
from allie.core.system import System
from allie.core.value import TYPE_CHECKING
from allie.machine import console, lock

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options of its own."""
    options.add_root(parser)


def run(args: argparse.Namespace) -> int:
    """Run the part that the verb names."""
    here = options.system_of(args)
    inside, began = lock.is_inside(here), time.time()
    status, done = _part(here, stubs.PARTS[args.verb])
    if not inside:  # else it is the tick's to tell
        reporting.by_hand(here, args.verb, done, began)
    return status


def overlay(here: System) -> int:
    """00overlay, in the forked child of a tick."""
    return _in_child(here, "overlay")


def overlay_at_first(here: System) -> int:
    """00overlay in the first tick of a system, whose overlays came with its image."""
    return _in_child(here, "overlay", ahead=True)


def overact(here: System) -> int:
    """01overact, in the forked child of a tick."""
    return _in_child(here, "overact")


KIT = {"00overlay": overlay, "01overact": overact}


def _in_child(here: System, name: str, *, ahead: bool = False) -> int:
    try:
        return _part(here, name, ahead=ahead)[0]
    except AllieError as error:
        console.warn(f"allie: {error}")
        return error.exit_code
    except OSError:
        raise  # this PC's, not ours
    except Exception as error:  # run-conf then has the last good client do this tick
        console.warn(f"allie: a fault in this client: {type(error).__name__}: {error}")
        return FAULT


def _part(here: System, name: str, *, ahead: bool = False) -> tuple[int, Applied]:
    done = part.run(here, name, ahead=ahead)
    for line in show.applied(done):
        console.say(line)
    store = state.contact(here) if name == "overlay" else Contact()
    if store.trouble:
        console.warn(f"{show.STORE}{show.contact(store, time.time())}")
    return ATTENTION if done.problems or store.refused else DONE, done
