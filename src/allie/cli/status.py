"""Show how this system stands: its last tick, its store, and every conf script with its state."""

from __future__ import annotations

import time

from allie.cli import options
from allie.client.state import records
from allie.client.tick import report_text, whole_tick
from allie.core.change import report as reports
from allie.core.conf.script import Verdict
from allie.core.errors import ATTENTION, DONE
from allie.core.value import TYPE_CHECKING
from allie.machine import console
from allie.machine.files import lock
from allie.machine.roots import open_system

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Root and JSON."""
    options.add_root(parser)
    options.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the last report with the scripts as they stand now; 1 if something needs attention."""
    here = options.system_of(args)
    open_system.need_name(here)
    last = records.last_report(here)
    scripts = whole_tick.survey(here)
    if last:
        pause = records.pause(here)
        last = last._replace(paused=pause.reason or "paused" if pause else "")
        scripts = [_as_it_ended(each, last) for each in scripts]
        last = last._replace(scripts=tuple(scripts))
    if args.json:
        value = reports.to_json(last) if last else {}
        value["scripts"] = [each._asdict() for each in scripts]
        value["running"] = lock.is_running(here)
        options.say_json(value)
    else:
        now = time.time()
        for line in report_text.report(last, now) if last else ["no tick has run yet"]:
            console.say(line)
        console.say("scripts:" if scripts else "no conf scripts")
        for each in scripts:
            for line in report_text.verdict(each, now, without=report_text.STORE):
                console.say(line)
        if lock.is_running(here):
            console.say("a tick is running now")
    return ATTENTION if last and last.needs_attention else DONE


def _as_it_ended(now: Verdict, last: reports.Report) -> Verdict:
    """A script that is due again is shown as its last run ended; that is what people look for."""
    for each in last.scripts:
        if each.name == now.name and now.state == "due" and each.state in ("failing", "waiting"):
            return each
        if each.name == now.name and now.why.startswith("runs at every") and each.code is not None:
            return each._replace(why=f"{each.why}, every tick")
    return now
