"""How each conf script stands, before any runs: satisfied, in test mode, due, or no script at all.

docs/internals/rules.md, "A done-file names what it satisfied".
"""

from __future__ import annotations

import os
import time

from allie.client.state import done_files, records, script_files
from allie.client.state.script_files import Script
from allie.core import digest
from allie.core import script as rules
from allie.core.errors import StateError
from allie.core.script import Headers, Verdict
from allie.core.system import System


def survey(here: System) -> list[Verdict]:
    """How each script stands now, running none: what `status` shows."""
    last = records.last_report(here)
    before = {verdict.name: verdict for verdict in last.scripts} if last else {}
    return [standing(here, name, before, time.time())[0] for name in names(here)]


def names(here: System) -> list[str]:
    """The scripts, in the order of the C locale."""
    try:
        found = os.listdir(here.conf)
    except OSError:
        return []
    return sorted((name for name in found if rules.is_name(name)), key=os.fsencode)


def standing(
    here: System, name: str, before: dict[str, Verdict], now: float
) -> tuple[Verdict, Script | None, Headers]:
    """How a script stands before it runs: satisfied, test, due (or failing: it cannot be read)."""
    known = before.get(name)
    why = "is not a regular file"
    try:
        script, done = script_files.read(here, name), done_files.read(here, name)
    except StateError as error:
        script, done, why = None, None, str(error)
    if script is None:
        since = known.since if known and known.state == "failing" else now
        return Verdict(name, "failing", why, since), None, Headers()
    headers = rules.parse_headers(script.content)
    if not script.executable:
        return Verdict(name, "test", "not executable: runs only by name"), None, headers
    due = rules.due(headers, digest.of(script.content), done, now)
    if not due.due:
        why = due.why + misread(headers)
        return Verdict(name, "satisfied", why, done.mtime if done else 0.0), None, headers
    if done is None and headers.every != 0:
        due = due._replace(why=done_files.cause(here, name) or due.why)
    keeps = known is not None and known.state in ("waiting", "failing", "satisfied")
    if keeps and known and (known.state != "satisfied" or headers.every == 0):
        return known._replace(state="due", why=due.why), script, headers
    return Verdict(name, "due", due.why), script, headers


def misread(headers: Headers) -> str:
    """What goes behind a reason where a header was not understood; "" if all were."""
    return f"; not understood: {headers.errors[0]}" if headers.errors else ""
