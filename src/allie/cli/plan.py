"""Show what the next tick would change, from what was last fetched; changes nothing.

It does not ask the store. A tick that is paused does, and changes nothing either.
"""

from __future__ import annotations

import time

from allie.cli import options
from allie.client.situation import grounds
from allie.client.state import records
from allie.client.tick import part_work, report_text
from allie.core.change.ledger import PARTS
from allie.core.change.plan import Plan
from allie.core.errors import ATTENTION, DONE
from allie.core.value import TYPE_CHECKING
from allie.machine import console
from allie.machine.roots import open_system

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Root and JSON."""
    options.add_root(parser)
    options.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Plan both parts and print them; 1 if a path is refused."""
    here = options.system_of(args)
    open_system.need_name(here)
    options.tell_if_running(here)
    known = grounds.resolve(here)
    ledger = records.load_ledger(here)
    plans = [part_work.decide(here, name, known, ledger)[1] for name in PARTS]
    if args.json:
        options.say_json([_value(each) for each in plans])
    else:
        lines = [line for each in plans for line in report_text.plan(each)]
        for line in lines or ["nothing to do"]:
            console.say(line)
        console.say(f"store: {report_text.contact(records.contact(here), time.time())}")
    return ATTENTION if any(each.problems for each in plans) else DONE


def _value(the_plan: Plan) -> dict[str, object]:
    """A plan as plain JSON values, by name."""
    changes = [
        {
            "real": change.real,
            "verb": change.verb,
            "why": change.why,
            "source": change.entry.source if change.entry else None,
        }
        for change in the_plan.changes
        if change.why != "seen again"  # the ledger's own business: nothing would change
    ]
    problems = [problem._asdict() for problem in the_plan.problems]
    return {**the_plan._asdict(), "changes": changes, "problems": problems}
