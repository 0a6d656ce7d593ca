"""Look after this PC's other systems, and the boot menu that lists them: the work of 98systems.

And of 99report, which tells the store how all of them are (`client.systems.send_report`).

Nearly every tick finds that there is nothing to do: what does it is loaded only then.
"""

from __future__ import annotations

import os

from allie.client.boot import menu_unchanged
from allie.client.mirror import stores
from allie.client.situation import settings_in_force
from allie.client.state import records
from allie.client.tick import kit
from allie.client.tick.whole_tick import Kit
from allie.core import stubs
from allie.core.conf.settings import Settings
from allie.core.errors import ATTENTION, DONE, TEMPFAIL, AllieError
from allie.core.system import System
from allie.machine import console
from allie.machine.roots import open_system

_RESTS = "this store has no place for reports: nothing is sent"


def work(here: System) -> int:
    """98systems, in the forked child of a tick."""
    try:
        # By names again: what it starts outlives the tick, and has mounts of its own.
        return _tend(open_system.open_system(here.root))
    except AllieError as error:
        console.warn(f"allie: {error}")
        return error.exit_code


def is_idle(here: System) -> bool:
    """Whether there is nothing to look after: no other system, no boot menu; or it is a sibling."""
    if os.environ.get("ALLIE_OFFLINE"):
        return True
    settings = settings_in_force.settings_of(here)
    if menu_unchanged.concerns(here):
        return menu_unchanged.holds(here, settings)
    return not settings.others or bool(settings.root and not here.is_base)


def _tend(here: System) -> int:
    if is_idle(here):
        return DONE
    settings = settings_in_force.settings_of(here)
    from allie.client.systems import bring_and_tick  # noqa: PLC0415 - see HACKING.md, start-up

    outcomes = bring_and_tick.all_others(here, settings)
    for each in outcomes:
        say = console.warn if each.state == "failing" else console.say
        say(f"{each.name}: {each.words}")
    states = {each.state for each in outcomes}
    if menu_unchanged.concerns(here) and not _follow_boot_menu(here, settings):
        states.add("failing")
    return ATTENTION if "failing" in states else TEMPFAIL if "waiting" in states else DONE


def _follow_boot_menu(here: System, settings: Settings) -> bool:
    """Note that this system came up, and have the boot menu follow; whether all is well with it."""
    from allie.client.boot import menu_partition  # noqa: PLC0415 - see HACKING.md, start-up
    from allie.client.situation import bound_disks  # noqa: PLC0415 - see HACKING.md, start-up

    try:
        with menu_partition.opened(here) as boot:
            menu_partition.confirm(here, boot)
            made = menu_partition.refresh(here, settings, boot)
    except bound_disks.NotOurs as error:
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
    menu_unchanged.write(here, settings)
    return True


def _may_tell(here: System) -> bool:
    """Whether there may be a place for reports."""
    try:
        return bool(stores.inbox(here, settings_in_force.settings_of(here)))
    except AllieError:
        return True  # the reporter says what is wrong


def _tell(here: System) -> int:
    """99report, in the forked child of a tick, or by hand."""
    if not stores.inbox(here, settings_in_force.settings_of(here)):
        console.say(_RESTS)
        records.save_sent_report(here, {"to": "", "at": 0.0, "value": {}})
        return DONE
    from allie.client.systems import send_report  # noqa: PLC0415 - see HACKING.md, start-up

    return send_report.work(here)


def _has_told(here: System) -> bool:
    """Whether the store knows all that there is to tell; or wants nothing, and that was said."""
    settings = settings_in_force.settings_of(here)
    if os.environ.get("ALLIE_OFFLINE") or (settings.root and not here.is_base):
        return True
    note, inbox = records.sent_report(here), stores.inbox(here, settings)
    if not note or not inbox:
        return bool(note) and note["to"] == inbox
    from allie.client.systems import send_report  # noqa: PLC0415 - see HACKING.md, start-up

    return not send_report.has_news(here, settings, note)


KIT = Kit(
    {**kit.PARTS, "98systems": work, stubs.REPORTER: _tell},
    {"98systems": is_idle, stubs.REPORTER: _has_told},
    menu_unchanged.follows,
    _may_tell,
)
