"""Run the tick: every conf script in /root/conf that is due, in order of their names.

With names, runs just those scripts, whatever their state, also ones that are not executable (test
mode). On a terminal the scripts' output is shown; it is kept in /var/log/allie in any case.
"""

from __future__ import annotations

import os
import sys
import time

from allie.cli import options, startup_mark
from allie.cli.options import ArgumentParser, Namespace
from allie.client.systems import look_after
from allie.client.tick import last_good, report_text, whole_tick
from allie.core.change.report import Report
from allie.core.errors import ATTENTION, DONE, FAULT
from allie.machine import console

_BY_SOMEBODY = ("SSH_CONNECTION", "SUDO_USER")  # sshd(8), sudo(8): also by clush, to many PCs


def add_arguments(parser: ArgumentParser) -> None:
    """Names of scripts."""
    options.add_root(parser)
    parser.add_argument("script", nargs="*", help="run just these scripts, whatever their state")


def run(args: Namespace) -> int:
    """One tick; 1 if something needs attention."""
    here = options.system_of(args)
    echo = bool(args.script) or sys.stdout.isatty()
    running = last_good.mark(here)
    report = whole_tick.run(here, args.script, look_after.KIT, echo=echo)
    if any(each.code == FAULT and each.name in look_after.KIT.work for each in report.scripts):
        startup_mark.badly()
    if not args.script:
        last_good.keep(here, running, report)
    _tell(report, echo=echo)
    if args.script:
        return ATTENTION if any(each.state == "failing" for each in report.ran) else DONE
    return ATTENTION if report.needs_attention else DONE


def _tell(report: Report, *, echo: bool) -> None:
    """One line if it went well and somebody watches; what needs attention in any case.

    A script that fails as it did before is told only to somebody who asks, or cron would send a
    mail every hour. To who asks many at once, by ssh and without a terminal, standard output is
    the answer: `clush -b` folds that alone. echo: what the scripts printed has been shown already.
    """
    if not report.is_quiet or sys.stdout.isatty():
        console.tell(f"tick {report.tick}: {report_text.summary(report)}")
    if sys.stdout.isatty() and not report.named:
        for line in report_text.paused(report):
            console.say(line)
    asked = any(name in os.environ for name in _BY_SOMEBODY)
    if asked and not sys.stdout.isatty():
        for line in report_text.unwell(report, echoed=echo):
            console.say(line)
        return
    for each in report.ran:
        if each.state == "failing" and (asked or echo or each.since >= report.began):
            lines = report_text.verdict(each, time.time())
            for line in lines[:1] if echo and each.seconds else lines:
                console.warn(line.strip())
