"""One part of a tick: 00overlay (paths without variants) or 01overact (paths with variants).

    00overlay  recover → fetch → resolve → look → plan → apply
    01overact  recover         → resolve → look → plan → apply

Nothing passes from one to the other but the mirror and the ledger.

docs/internals/rules.md, "Two parts, two transactions".
"""

from __future__ import annotations

import os
import time

from allie.client.apply import unchanged
from allie.client.mirror import generation as generations
from allie.client.mirror.fetch import fetch
from allie.client.situation import grounds, settings_in_force
from allie.client.situation.grounds import Grounds
from allie.client.state import done_files, records
from allie.core.change.report import Applied
from allie.core.conf import settings as configuration
from allie.core.errors import SettingsError, StoreError
from allie.core.system import System
from allie.machine.files import lock
from allie.machine.programs import process
from allie.machine.roots import open_system

FULL_EVERY = 168  # ticks, a week of hours: then everything is compared by content
THOROUGH_EVERY = 24  # ticks, a day of hours: then the store is asked after ACLs and attributes, too
JUST_NOW = 60  # seconds
ROUTINE = "ALLIE_ROUTINE"  # in the environment: a whole tick that nobody watches


def run(here: System, part: str, *, ahead: bool = False) -> Applied:
    """Run one part as a transaction of its own.

    ahead: what was fetched just now for this first tick is enough
    (`client.systems.early_overlays`). Raises Busy, StateError, SettingsError, or StoreError where
    nothing was ever fetched.
    """
    open_system.need_name(here)
    with lock.held(here, "00overlay" if part == "overlay" else "01overact"):
        tick = records.this_tick(here)
        full = tick % FULL_EVERY == 0
        if _was_cut_short(here):
            from allie.client.apply.recover import recover  # noqa: PLC0415 - see HACKING.md, start-up

            process.die_with_parent()
            recover(here)
        if part == "overlay":
            before = known = _before_a_fetch(here)
            if not (ahead and known and _came_just_now(here, known)):
                known = _fetch(here, before, tick)
        else:
            before = known = grounds.gather(here)
        same = known == before and unchanged.holds(here, part, known)
        if full or records.pause(here) or not same:
            from allie.client.tick import part_work  # noqa: PLC0415 - see HACKING.md, start-up

            done = part_work.look_and_apply(here, part, before, known, tick, full=full)
        else:
            done = Applied(tick, part, known.generation.number)
        records.save_applied(here, done)
        return done


def _before_a_fetch(here: System) -> Grounds | None:
    """The grounds before a fetch; None if it is the first one, or is to correct them."""
    try:
        return grounds.gather(here)
    except (StoreError, SettingsError):
        return None


def _fetch(here: System, before: Grounds | None, tick: int) -> Grounds:
    """Fetch by the settings in force, and by others that came: the grounds after that.

    A tick that nobody watches asks the store the cheaper question; a person gets the whole answer.
    """
    nobody_watches = ROUTINE in os.environ
    routine = nobody_watches and tick % THOROUGH_EVERY != 0
    exact = not nobody_watches or tick % FULL_EVERY == 0
    settings = before.settings if before else settings_in_force.settings_of(here)
    fetched = fetch(here, settings, routine=routine, exact=exact)
    refused = fetched.contact.refused
    if before and fetched.generation == before.generation and not (before.coming or refused):
        return before
    found = settings_in_force.follow(here, settings, fetched, routine=routine)
    return grounds.gather(here, found)


def _came_just_now(here: System, known: Grounds) -> bool:
    """Whether the store would only say again what it said just now, to the same question."""
    contact, now = records.contact(here), known.settings
    if known.coming or contact.trouble or not 0 <= time.time() - contact.good < JUST_NOW:
        return False
    asked = configuration.parse(settings_in_force.own_text(here), here.name)
    return (
        contact.generation == known.generation.number
        and known.generation.common == now.overlays
        and (asked.ring, asked.stores, asked.door) == (now.ring, now.stores, now.door)
    )


def _was_cut_short(here: System) -> bool:
    """Whether a killed tick left an intent, a change to move in, or a file half written."""
    if generations.unfinished(here) or os.path.lexists(f"{here.done}/{done_files.HALF}"):
        return True
    begun = ("intent-", "stage-")
    names = os.listdir(here.state)
    return any(name.startswith(begun) or records.is_half_written(name) for name in names)
