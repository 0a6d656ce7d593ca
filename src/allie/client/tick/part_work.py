"""The work of a part that has something to do: look, plan, and apply.

Nearly every tick finds that it has nothing to do, and does not load this (`client.tick.part`).
"""

from __future__ import annotations

from allie.client.apply import unchanged
from allie.client.apply.changes import apply
from allie.client.apply.look import look
from allie.client.mirror import generation as generations
from allie.client.originals import undo_ticks
from allie.client.situation import grounds
from allie.client.situation.grounds import Grounds, Resolved
from allie.client.state import records
from allie.core.change.ledger import Ledger
from allie.core.change.plan import Plan, plan
from allie.core.change.present import Present
from allie.core.change.report import Applied, applied_of
from allie.core.system import System
from allie.machine.programs import process


def look_and_apply(
    here: System, part: str, before: Grounds | None, known: Grounds, tick: int, *, full: bool
) -> Applied:
    """Resolve, look, plan, and apply; or (paused) only tell what would be applied.

    before: the grounds of the last tick.
    """
    saved = records.load_ledger(here)
    present, the_plan = decide(here, part, grounds.resolve(here, known), saved, full=full)
    left = set(the_plan.guarded).difference(known.generation.overlays)
    if left:  # what the store says of an overlay that is off the list was not fetched
        from allie.client.mirror import contents  # noqa: PLC0415 - see HACKING.md, start-up

        meant = contents.consents(here, known.settings, left)
        present = present._replace(consent=present.consent | meant)
        the_plan = plan(present)
    if records.pause(here):
        done = applied_of(tick, the_plan, list(the_plan.changes), list(the_plan.problems))
        return done._replace(paused=True)
    settled = saved.generations.get(part) == the_plan.generation
    if the_plan.is_nothing and settled and present.ledger is saved and not the_plan.problems:
        unchanged.note(here, part, known, present, saved)
        return Applied(tick, part, the_plan.generation)
    process.die_with_parent()
    others = unchanged.name_of(here, "overact", before) if part == "overlay" else ""
    done, ledger = apply(here, the_plan, present, saved, tick)
    if before and others and _leave_others_alone(before, known, ledger):
        unchanged.carry_over(here, "overact", others, known)
    if not the_plan.is_nothing:
        undo_ticks.prune(here, ledger)
    if settled and not (the_plan.visible or done.problems):  # the root was right
        unchanged.note(here, part, known, present, ledger)
    if not (the_plan.is_nothing and settled):
        generations.remove_old(here, {known.generation.number, *ledger.generations.values()})
    return done


def _leave_others_alone(before: Grounds, known: Grounds, ledger: Ledger) -> bool:
    """Whether nothing that came in this tick concerns 01overact."""
    number = known.generation.number
    same = before._replace(generation=known.generation) == known
    return same and ledger.generations.get("overact") == number


def decide(
    here: System, part: str, known: Resolved, ledger: Ledger, *, full: bool = False
) -> tuple[Present, Plan]:
    """Look at the root and plan one part."""
    present = look(here, part, known, ledger, full=full)
    return present, plan(present)
