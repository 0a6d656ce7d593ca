"""Make the report of a tick, of what the tick did and how the system itself stands."""

from __future__ import annotations

import os
import time

from allie import __version__
from allie.client.mirror import generation as generations
from allie.client.situation import gather_facts, settings_in_force
from allie.client.state import records
from allie.core.change import report as reports
from allie.core.change.report import Applied, Report
from allie.core.errors import AllieError, StateError
from allie.core.facts import Facts
from allie.core.lean import dumps
from allie.core.system import System
from allie.machine.files import atomic


def report_of(here: System, number: int, began: float) -> Report:
    """What a report says of the system itself, as it is now."""
    pause = records.pause(here)
    try:
        known = facts(here)
    except AllieError:
        known = Facts(host=os.uname().nodename)
    return Report(
        tick=number,
        system=here.name,
        host=known.host,
        version=__version__,
        began=began,
        seconds=round(time.time() - began, 3),
        image=known.image,
        classes=known.classes,
        contact=records.contact(here),
        own_door=records.own_contact(here),
        paused=pause.reason or "paused" if pause else "",
    )


def elsewhere(here: System, began: float, error: StateError) -> None:
    """The state takes no writes: the report goes to /run, best effort."""
    report = Report(0, here.name, os.uname().nodename, __version__, began, 0.0, notes=(str(error),))
    try:
        os.makedirs(here.run, exist_ok=True)
        atomic.write(f"{here.run}/report", dumps(reports.to_json(report)))
    except (OSError, StateError):
        pass


def by_hand(here: System, verb: str, done: Applied, began: float) -> None:
    """Enter a part that was run on its own in the history; the last tick stays the status."""
    report = report_of(here, done.tick, began)._replace(verb=verb, applied=(done,))
    records.add_to_history(here, report)


def facts(here: System) -> Facts:
    """The facts as they are now; an earlier script of this tick may have changed them."""
    generation = generations.current(here)
    found = settings_in_force.in_force(here, generation)
    return gather_facts.gather(here, found.settings, generation, found.own)
