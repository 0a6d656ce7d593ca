"""Show how this system stands: its last tick, its store, and every conf script with its state."""

from __future__ import annotations

import time

from allie.cli import options
from allie.cli.options import Namespace
from allie.client.mirror import identity
from allie.client.situation import settings_in_force
from allie.client.state import records
from allie.client.tick import report_text, script_states
from allie.core.change.report import Report
from allie.core.errors import ATTENTION, DONE
from allie.core.script import Verdict
from allie.core.system import System
from allie.machine.files import lock

add_arguments = options.add_view


def run(args: Namespace) -> int:
    """Print the last report with the scripts as they stand now; 1 if something needs attention."""
    here = options.joined_system(args)
    last = records.last_report(here)
    scripts, pause = script_states.survey(here), records.pause(here)
    now, running = time.time(), lock.is_running(here)
    lines = ["no tick has run yet"]
    if last:
        last = last._replace(paused=pause.reason or "paused" if pause else "")
        lines = report_text.report(last, now, pause)  # it says what that tick did
        scripts = [_as_it_ended(each, last) for each in scripts]
        last = last._replace(scripts=tuple(scripts))
    lines += _to_enrol(here)
    lines.append("scripts:" if scripts else "no conf scripts")
    for each in scripts:
        lines += report_text.verdict(each, now, without=report_text.DOORS)
    lines += ["a tick is running now"] if running else []
    value = {**(last._asdict() if last else {}), "scripts": scripts, "running": running}
    options.show(args, value, lines)
    return ATTENTION if last and last.needs_attention else DONE


def _to_enrol(here: System) -> list[str]:
    """What makes the store's server know this PC, where it waits for that."""
    if not identity.waits(records.own_contact(here).trouble):
        return []
    command = identity.to_enrol(here, settings_in_force.settings_of(here))
    return [f"  to enrol   on the server: {command}"] if command else []


def _as_it_ended(now: Verdict, last: Report) -> Verdict:
    """A script that is due again is shown as its last run ended: that is what people look for."""
    for each in last.scripts:
        if each.name == now.name and now.state == "due" and each.state in ("failing", "waiting"):
            return each
        if each.name == now.name and now.why.startswith("runs at every") and each.code is not None:
            return each if each.state == "due" else each._replace(why=f"{each.why}, every tick")
    return now
