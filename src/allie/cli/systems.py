"""Look after this PC's other systems: fetch the missing ones, tick each one that is there.

This is 98systems, a conf script of the kit. On a PC that boots by ALLiE's menu it also keeps that
up to date. In a sibling it does nothing.
"""

from __future__ import annotations

import os

from allie.cli import options, part
from allie.client import bootnote, generation, grounds, tick
from allie.core.errors import ATTENTION, DONE, TEMPFAIL, AllieError
from allie.core.report import Report
from allie.core.settings import Settings
from allie.core.system import System
from allie.core.value import TYPE_CHECKING
from allie.machine import console, locate

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options of its own."""
    options.add_root(parser)


def run(args: argparse.Namespace) -> int:
    """Do it once, as the tick does."""
    return work(options.system_of(args))


def work(here: System) -> int:
    """98systems, in the forked child of a tick."""
    try:
        # By names again: what it starts outlives the tick, and has mounts of its own.
        return _tend(locate.open_system(here.root))
    except AllieError as error:
        console.warn(f"allie: {error}")
        return error.exit_code


def one_tick(sibling: System) -> int:
    """One tick of a sibling, as its own run-conf would do it."""
    report = tick.run(sibling, (), SIBLINGS_KIT, _SIBLINGS_IDLE)
    return ATTENTION if report.needs_attention else DONE


def first_tick(sibling: System) -> Report:
    """The first tick of a system that has just been fetched."""
    return tick.run(sibling, (), _FIRST_KIT, _SIBLINGS_IDLE, first=True)


def _nothing(_here: System) -> int:
    """98systems in a sibling."""
    return DONE


SIBLINGS_KIT = {**part.KIT, "98systems": _nothing}
_SIBLINGS_IDLE = {"98systems": lambda _here: True}
_FIRST_KIT = {**SIBLINGS_KIT, "00overlay": part.overlay_at_first}


def is_idle(here: System) -> bool:
    """Whether there is nothing to look after: no other system, no boot menu; or it is a sibling."""
    if os.environ.get("ALLIE_OFFLINE"):
        return True
    locate.need_name(here)
    settings = grounds.settings_now(here, generation.current(here))
    if bootnote.concerns(here):
        return bootnote.holds(here, settings)
    return not settings.others or bool(settings.root and not here.is_base)


def _tend(here: System) -> int:
    if is_idle(here):
        return DONE
    settings = grounds.settings_now(here, generation.current(here))
    from allie.client import siblings  # noqa: PLC0415 - see HACKING.md, start-up

    outcomes = siblings.tend(here, settings, one_tick, first_tick)
    for each in outcomes:
        say = console.warn if each.state == "failing" else console.say
        say(f"{each.name}: {each.words}")
    states = {each.state for each in outcomes}
    if bootnote.concerns(here) and not _boots(here, settings):
        states.add("failing")
    return ATTENTION if "failing" in states else TEMPFAIL if "waiting" in states else DONE


def _boots(here: System, settings: Settings) -> bool:
    """Note that this system came up, and have the boot menu follow; whether all is well with it."""
    from allie.client import binding, bootmenu  # noqa: PLC0415 - see HACKING.md, start-up

    try:
        with bootmenu.opened(here) as boot:
            bootmenu.confirm(here, boot)
            made = bootmenu.refresh(here, settings, boot)
    except binding.NotOurs as error:
        console.say(f"boot menu: {error}")
        return True
    except AllieError as error:
        console.warn(f"boot menu: {error}")
        return False
    if made.changed:
        console.say(f"boot menu: {', '.join(each.id for each in made.entries)}")
    bad, default = made.env.get("allie_bad", ""), made.env.get("allie_default", "")
    if bad:
        console.warn(f"boot menu: {bad} did not come up twice, {default} is booted instead")
        return False
    bootnote.write(here, settings)
    return True
