"""One part of a tick: 00overlay (paths without variants) or 01overact (paths with variants).

    00overlay  recover → fetch → resolve → look → plan → apply
    01overact  recover         → resolve → look → plan → apply

Nothing passes from one to the other but the mirror and the ledger (RULES B4).
"""

from __future__ import annotations

import os
import time

from allie.client import fold, glance, identity, kept, state
from allie.client import generation as generations
from allie.client.apply import apply
from allie.client.fetch import fetch
from allie.client.generation import Generation
from allie.client.look import look
from allie.client.recover import recover
from allie.core import settings as configuration
from allie.core import system
from allie.core.errors import SettingsError, StoreError
from allie.core.facts import Facts
from allie.core.ledger import Ledger
from allie.core.plan import Plan, plan
from allie.core.present import Present
from allie.core.report import Applied, applied_of
from allie.core.resolution import Problem, Resolution
from allie.core.settings import Settings
from allie.core.system import System
from allie.core.value import Value
from allie.machine import locate, lock, process

FULL_EVERY = 168  # ticks, a week of hours: then everything is compared by content
THOROUGH_EVERY = 24  # ticks, a day of hours: then the store is asked after ACLs and attributes, too
JUST_NOW = 60  # seconds
ROUTINE = "ALLIE_ROUTINE"  # in the environment: a whole tick that nobody watches


class Grounds(Value):
    """What a resolution follows from, and nothing else does."""

    generation: Generation
    settings: Settings
    facts: Facts
    own: Facts  # the ones by which allie.conf itself is chosen


class Situation(Value):
    """Everything that is known before a plan: what `why` and `plan` are views of."""

    generation: Generation
    settings: Settings
    facts: Facts
    resolution: Resolution


def run(here: System, part: str, *, ahead: bool = False) -> Applied:
    """Run one part as a transaction of its own.

    ahead: what was fetched just now for this first tick is enough (`client.ahead`).
    Raises Busy, StateError, SettingsError, or StoreError where nothing was ever fetched.
    """
    locate.need_name(here)
    with lock.held(here, "00overlay" if part == "overlay" else "01overact"):
        tick = state.this_tick(here)
        if _cut_short(here):
            _recover(here)
        if part == "overlay":
            before = _last_grounds(here)
            if ahead and before and _came_just_now(here, before):
                known = before
            else:
                known = bring(here, before, routine=_is_routine(tick))
        else:
            before = known = grounds(here)
        full = tick % FULL_EVERY == 0
        if full or state.pause(here) or not glance.holds(here, part, known):
            done = _look_and_apply(here, part, before, known, tick, full=full)
        else:
            done = Applied(tick, part, known.generation.number)
        state.save_applied(here, done)
        return done


def _look_and_apply(
    here: System, part: str, before: Grounds | None, known: Grounds, tick: int, *, full: bool
) -> Applied:
    """Resolve, look, plan, and apply; or (paused) only tell what would be applied.

    before: the grounds of the last tick.
    """
    saved = state.load_ledger(here)
    present, the_plan = decide(here, part, situation(here, known), saved, full=full)
    if state.pause(here):
        done = applied_of(tick, the_plan, list(the_plan.changes), list(the_plan.problems))
        return done._replace(paused=True)
    settled = saved.generations.get(part) == the_plan.generation
    if the_plan.is_nothing and settled and present.ledger is saved and not the_plan.problems:
        glance.note(here, part, known, present)
        return Applied(tick, part, the_plan.generation)
    process.die_with_parent()
    others = glance.name_of(here, "overact", before) if part == "overlay" else ""
    done, books = apply(here, the_plan, present, saved, tick)
    if before and others and _leave_others_alone(before, known, books):
        glance.carry_over(here, "overact", others, known)
    if not (the_plan.is_nothing and settled):
        _tidy(here, books, pruning=not the_plan.is_nothing)
    return done


def _leave_others_alone(before: Grounds, known: Grounds, books: Ledger) -> bool:
    """Whether nothing that came in this tick concerns 01overact."""
    number = known.generation.number
    same = before._replace(generation=known.generation) == known
    return same and books.generations.get("overact") == number


def _is_routine(tick: int) -> bool:
    """Whether the store is asked the cheaper question; a person who asks gets the whole answer."""
    return ROUTINE in os.environ and tick % THOROUGH_EVERY != 0


def bring(here: System, before: Grounds | None, *, routine: bool = False) -> Grounds:
    """Fetch; and once more if what came names other overlays, another ring or another store.

    before: the grounds as they are; None if they are unknown. Returns what they are then.
    """
    settings = before.settings if before else settings_now(here, generations.current(here))
    fetched = fetch(here, settings, routine=routine)
    if before and fetched.generation == before.generation:
        return before
    after = grounds(here)
    now = after.settings
    if (now.overlays, now.ring, now.stores) != (settings.overlays, settings.ring, settings.stores):
        fetch(here, now, routine=routine)
        return grounds(here)
    return after


def _came_just_now(here: System, known: Grounds) -> bool:
    """Whether the store would only say again what it said just now, to the same question."""
    contact, now = state.contact(here), known.settings
    if contact.trouble or not 0 <= time.time() - contact.good < JUST_NOW:
        return False
    asked = configuration.parse(generations.own_settings(here), here.name)
    return (
        contact.generation == known.generation.number
        and known.generation.overlays == now.overlays
        and (asked.ring, asked.stores) == (now.ring, now.stores)
    )


def settings_now(here: System, generation: Generation | None) -> Settings:
    """The settings in force; allie.conf is resolved without class tags."""
    return generations.settings_in_force(here, generation, _known(here))


def _last_grounds(here: System) -> Grounds | None:
    """The grounds before a fetch; None if it is the first one, or is to correct them."""
    try:
        return grounds(here)
    except (StoreError, SettingsError):
        return None


def grounds(here: System) -> Grounds:
    """What there is to resolve. Raises StoreError if nothing was ever fetched."""
    generation = generations.current(here)
    if generation is None:
        trouble = state.contact(here).trouble or "no tick has fetched anything yet"
        raise StoreError(f"there are no overlays on this PC: {trouble}")
    own = _known(here)
    settings = generations.settings_in_force(here, generation, own)
    facts = identity.gather(here, settings, generation)
    return Grounds(generation, settings, facts, own)


def situation(here: System, known: Grounds | None = None) -> Situation:
    """Resolve the present generation for this system. Raises StoreError if there is none."""
    generation, settings, facts, own = known or grounds(here)
    resolution = generations.resolve(generation, facts)
    return Situation(
        generation, settings, facts, _without_unusable_settings(here, generation, resolution, own)
    )


def decide(
    here: System, part: str, known: Situation, ledger: Ledger, *, full: bool = False
) -> tuple[Present, Plan]:
    """Look at the root and plan one part."""
    trusted = known.settings.trusted
    present = look(
        here, part, known.generation, known.resolution, ledger, full=full, trusted=trusted
    )
    released = known.generation.overlays if known.settings.ring else ()
    present = present._replace(released=frozenset(released) - {"kit"})
    return present, plan(present)


def _known(here: System) -> Facts:
    """The facts by which allie.conf itself is chosen: the root's own host name and image."""
    try:
        own = configuration.parse(generations.own_settings(here), here.name)
        return identity.without_classes(here, own.host, own.image)
    except SettingsError:
        return identity.without_classes(here)


def _without_unusable_settings(
    here: System, generation: Generation, resolution: Resolution, own: Facts
) -> Resolution:
    """An allie.conf that this system cannot use would cut it off: it is not placed."""
    entry = resolution.entries.get(system.SETTINGS)
    text = generations.text_of(generation, system.SETTINGS, own) if entry else None
    if entry is None or text is None:
        return resolution
    try:
        configuration.parse(text, here.name)
        return resolution
    except SettingsError as error:
        entries = {path: each for path, each in resolution.entries.items() if each is not entry}
        problem = Problem(system.SETTINGS, f"{entry.source} cannot be used: {error}")
        return resolution._replace(entries=entries, problems=(*resolution.problems, problem))


def _cut_short(here: System) -> bool:
    """Whether a killed tick left an intent, a change to fold in, or a file half written.

    (A pause comes at any time.)
    """
    if fold.is_due(here):
        return True
    names = os.listdir(here.state)
    names += os.listdir(here.done) if os.path.isdir(here.done) else []
    begun = ("intent-", "stage-")
    left = [name for name in names if name.startswith(begun) or name.endswith(".part")]
    return any(name != "paused.part" for name in left)


def _recover(here: System) -> None:
    """Sort out what a killed tick left."""
    process.die_with_parent()
    recover(here)


def _tidy(here: System, books: Ledger, *, pruning: bool) -> None:
    """Remove the generations and (pruning) undo copies that nothing needs any more."""
    if pruning:
        kept.prune(here, books)
    current = generations.current(here)
    if current:
        keep = {current.number, *books.generations.values()}
        generations.remove_old(here, keep)
        fold.forget_replaced(here, min(keep))
