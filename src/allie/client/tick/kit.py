"""The work of the kit's own conf scripts, which a tick does itself, in a forked child.

00overlay and 01overact are the two parts, the same in every system. 98systems looks after the other
systems of a PC (`client.systems.look_after`): in one of those it does nothing.
"""

from __future__ import annotations

import time

from allie.client.state import records
from allie.client.tick import part, report_text, whole_tick
from allie.client.tick.whole_tick import Kit
from allie.client.tick.worker import Work
from allie.core import stubs
from allie.core.change.report import Applied, Contact, Report
from allie.core.errors import ATTENTION, DONE, FAULT, AllieError
from allie.core.system import System
from allie.machine import console


def do_part(here: System, name: str, *, ahead: bool = False) -> tuple[int, Applied]:
    """Do one part and say what it did; its exit status, and what it did.

    ahead: the overlays came with the system's image, and are not asked for again.
    """
    done = part.run(here, name, ahead=ahead)
    for line in report_text.applied(done):
        console.say(line)
    fetches = name == "overlay"
    store = records.contact(here) if fetches else Contact()
    own = records.own_contact(here) if fetches else Contact()
    if store.trouble:
        console.warn(f"{report_text.STORE}{report_text.contact(store, time.time())}")
    if own.trouble:
        console.warn(f"{report_text.OWN}{report_text.own_door(own, time.time())}")
    refused = store.refused or own.refused
    return ATTENTION if done.problems or refused else DONE, done


def _work(part_name: str, *, ahead: bool = False) -> Work:
    """Do a part in the forked child of a tick."""
    return lambda here: _in_child(here, part_name, ahead=ahead)


# In a system that another one looks after, these have nothing to do
_PCS = ("98systems", stubs.REPORTER)
_SYSTEMS, _IDLE = dict.fromkeys(_PCS, lambda _: DONE), dict.fromkeys(_PCS, lambda _: True)
PARTS = {"00overlay": _work("overlay"), "01overact": _work("overact")}
OF_ANOTHER = Kit({**PARTS, **_SYSTEMS}, _IDLE)
# Its first tick: the overlays came with its image
_AT_FIRST = Kit({**OF_ANOTHER.work, "00overlay": _work("overlay", ahead=True)}, _IDLE)


def tick_of_another(here: System) -> int:
    """One tick of another system of this PC, as its own run-conf would do it; its exit status."""
    report = whole_tick.run(here, (), OF_ANOTHER)
    return ATTENTION if report.needs_attention else DONE


def first_tick_of_another(here: System) -> Report:
    """The first tick of a system that has just been fetched."""
    return whole_tick.run(here, (), _AT_FIRST, first=True)


def _in_child(here: System, name: str, *, ahead: bool) -> int:
    try:
        return do_part(here, name, ahead=ahead)[0]
    except AllieError as error:
        console.warn(f"allie: {error}")
        return error.exit_code
    except OSError:
        raise  # this PC's, not ours
    except Exception as error:  # run-conf then has the last good client do this tick
        console.warn(f"allie: a fault in this client: {type(error).__name__}: {error}")
        return FAULT
