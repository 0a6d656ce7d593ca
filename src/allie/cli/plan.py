"""Show what the next tick would change, from what was last fetched; changes nothing.

It does not ask the store. A tick that is paused does, and changes nothing either.
"""

from __future__ import annotations

import time

from allie.cli import options
from allie.cli.options import Namespace
from allie.client.situation import grounds
from allie.client.state import records
from allie.client.tick import part_work, report_text, script_states
from allie.core import stubs
from allie.core.change.ledger import PARTS
from allie.core.change.plan import Plan
from allie.core.errors import ATTENTION, DONE

add_arguments = options.add_view


def run(args: Namespace) -> int:
    """Plan both parts and print them; 1 if a path is refused."""
    here = options.joined_system(args)
    options.tell_if_running(here)
    known = grounds.resolve(here)
    ledger = records.load_ledger(here)
    plans = [part_work.decide(here, name, known, ledger)[1] for name in PARTS]
    lines = [line for each in plans for line in report_text.plan(each)]
    due = (each for each in script_states.survey(here) if each.state == "due")
    lines += [f"run      {each.name}  ({each.why})" for each in due if each.name not in stubs.NAMES]
    lines = lines or ["nothing to do"]
    lines.append(f"store: {report_text.contact(records.contact(here), time.time())} (not asked)")
    own = records.own_contact(here)
    lines += [f"own: {report_text.own_door(own, time.time())}"] if own.server else []
    options.show(args, [_value(each) for each in plans], lines)
    return ATTENTION if any(each.problems for each in plans) else DONE


def _value(the_plan: Plan) -> dict[str, object]:
    """A plan as JSON has it: its visible changes, and of each what people look for."""
    changes = [
        {
            "real": change.real,
            "verb": change.verb,
            "why": change.why,
            "source": change.entry.source if change.entry else None,
        }
        for change in the_plan.visible
    ]
    return {**the_plan._asdict(), "changes": changes}
