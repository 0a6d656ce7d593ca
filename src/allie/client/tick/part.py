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
from allie.client.mirror import incremental
from allie.client.mirror.fetch import fetch
from allie.client.situation.grounds import Grounds, grounds, settings_now
from allie.client.state import done_files, records
from allie.core.change.report import Applied
from allie.core.conf import settings as configuration
from allie.core.errors import SettingsError, StoreError
from allie.core.system import System
from allie.machine.files import lock
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
        if _cut_short(here):
            _sort_out(here)
        if part == "overlay":
            before = _last_grounds(here)
            if ahead and before and _came_just_now(here, before):
                known = before
            else:
                exact = full or ROUTINE not in os.environ
                known = bring(here, before, routine=_is_routine(tick), exact=exact)
        else:
            before = known = grounds(here)
        if full or records.pause(here) or not unchanged.holds(here, part, known):
            done = _look_and_apply(here, part, before, known, tick, full=full)
        else:
            done = Applied(tick, part, known.generation.number)
        records.save_applied(here, done)
        return done


def _is_routine(tick: int) -> bool:
    """Whether the store is asked the cheaper question; a person who asks gets the whole answer."""
    return ROUTINE in os.environ and tick % THOROUGH_EVERY != 0


def bring(
    here: System, before: Grounds | None, *, routine: bool = False, exact: bool = False
) -> Grounds:
    """Fetch by the settings in force; and by others that came, or that the store has by now.

    before: the grounds as they are; None if they are unknown. routine, exact: as for `fetch`.
    Returns what they are then.
    """
    settings = before.settings if before else settings_now(here, generations.current(here))
    fetched = fetch(here, settings, routine=routine, exact=exact)
    refused = fetched.contact.refused
    if before and fetched.generation == before.generation and not (before.coming or refused):
        return before
    if fetched.generation and not refused:
        after = grounds(here)
        if not after.coming:
            generations.keep_followed(here, after.generation, after.own)
            return after
    from allie.client.situation import settings_in_force  # noqa: PLC0415 - see HACKING.md, start-up

    settings_in_force.follow(here, settings, fetched, routine=routine)
    return grounds(here)


def _came_just_now(here: System, known: Grounds) -> bool:
    """Whether the store would only say again what it said just now, to the same question."""
    contact, now = records.contact(here), known.settings
    if known.coming or contact.trouble or not 0 <= time.time() - contact.good < JUST_NOW:
        return False
    asked = configuration.parse(generations.own_settings(here), here.name)
    return (
        contact.generation == known.generation.number
        and known.generation.overlays == now.overlays
        and (asked.ring, asked.stores) == (now.ring, now.stores)
    )


def _last_grounds(here: System) -> Grounds | None:
    """The grounds before a fetch; None if it is the first one, or is to correct them."""
    try:
        return grounds(here)
    except (StoreError, SettingsError):
        return None


def _cut_short(here: System) -> bool:
    """Whether a killed tick left an intent, a change to fold in, or a file half written.

    (A pause comes at any time.)
    """
    if incremental.is_due(here):
        return True
    if os.path.lexists(f"{here.done}/{done_files.HALF}"):
        return True
    names = os.listdir(here.state)
    begun = ("intent-", "stage-")
    left = [name for name in names if name.startswith(begun) or name.endswith(".part")]
    return any(name != "paused.part" for name in left)


def _sort_out(here: System) -> None:
    """Finish the books of what a killed tick left."""
    from allie.client.tick import part_work  # noqa: PLC0415 - see HACKING.md, start-up

    part_work.sort_out(here)


def _look_and_apply(
    here: System, part: str, before: Grounds | None, known: Grounds, tick: int, *, full: bool
) -> Applied:
    """Look, plan and apply. What that takes is not loaded by a part that has nothing to do."""
    from allie.client.tick import part_work  # noqa: PLC0415 - see HACKING.md, start-up

    return part_work.look_and_apply(here, part, before, known, tick, full=full)
