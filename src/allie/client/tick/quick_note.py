"""Note what a quick tick may go by: all that it followed from that this tick had nothing to do.

Written at the end of a whole tick, in a directory of its own (`quick/`), so that the state
directory's own lstat vouches for all else in there: an intent, a pause, what a killed tick left.
In two parts: what 00overlay and 01overact follow from, and what the conf scripts do. Where a script
runs at every tick, the parts at least are spared.

docs/internals/rules.md, "A quick tick knows no rule".
"""

from __future__ import annotations

import marshal
import os
import sys
import time
from collections.abc import Iterable

import allie
from allie.client.apply import unchanged
from allie.client.mirror import fetch, stores
from allie.client.situation import grounds
from allie.client.situation.grounds import Grounds
from allie.client.state import (
    done_files,
    quick_files,
    quick_seal,
    quick_tick,
    records,
    script_files,
)
from allie.client.state.script_files import Script
from allie.core import script_rules as rules
from allie.core import stubs, system
from allie.core.change.report import Report
from allie.core.errors import AllieError, spoken
from allie.core.system import System
from allie.core.value import TYPE_CHECKING
from allie.machine.code import cache
from allie.machine.files import atomic, stood, tree
from allie.machine.mounts import user_mounts
from allie.machine.programs import process

if TYPE_CHECKING:
    from typing import Any

    from allie.machine.files.stood import Stood

THOROUGH_EVERY = (
    24  # ticks, a day of hours: a quick tick asks the store only what a routine one does
)
_GRAIN = 0.02  # seconds: a change within the clock's grain of our look would go unseen
_QUICK = (
    "allie.machine.programs.lifeline",
    "allie.machine.files.stood",
    "allie.client.state.quick_files",
    "allie.client.state.quick_tick",
)
_SETTLED = ("satisfied", "test")
_Standing = tuple[list[str], list["Stood"]]


def write(here: System, report: Report, idle: Iterable[str], followed: Iterable[str]) -> None:
    """Note what this tick followed from, if its parts had nothing to do; the tick has the lock.

    idle: the kit's scripts that had nothing to do; followed: other paths that this followed from.
    """
    try:
        known = grounds.gather(here)
        checks = {part: unchanged.is_noted(here, part, known) for part in stubs.PARTS.values()}
        contact = report.contact
        wanted = stores.in_own_order(known.settings)[0]
        current = (known.generation.number, "", "", "")
        stands = (contact.generation, contact.trouble, contact.unfollowed, known.coming)
        if not all(checks.values()) or stands != current or contact.server != wanted:
            return
        time.sleep(_GRAIN)
        note = _note_of(here, known, report, wanted, checks)
        note.update(_scripts_of(here, report, set(idle), tuple(followed)))
        last = (report.tick, report.began, report.seconds, contact.good)
        atomic.write(f"{here.state}/quick/last", quick_files.last_text(last), 0o600, durable=False)
        path, text = f"{here.state}/quick/note", quick_files.pack(note, quick_seal.of(here))
        atomic.write(path, text, 0o600, durable=False)
    except (AllieError, OSError):
        pass  # then the next tick is a whole one, too


def is_enough(here: System) -> bool:
    """Do a quick tick, under the lock of a whole one; whether that was all there is to do."""
    return quick_tick.tick(here.root, here.state, client(), os.environ, quick_seal.of(here))


def spared(here: System) -> int:
    """The generation in force, if a quick tick found that both parts have nothing to do; else 0.

    It may have been begun by the archive's first lines, and have let go of the lock since.
    """
    note = quick_tick.spared
    if not note or note["of"][0] != here.root or not quick_tick.still_on(note):
        return 0
    contact = records.contact(here)
    records.save_contact(here, contact.after_answer(note["answered"]))
    return contact.generation


def client() -> str:
    """What tells this client from any other, where it does not begin as an archive does."""
    return f"{allie.__version__} {allie.__file__}"


def _note_of(
    here: System, known: Grounds, report: Report, store: str, checks: dict[str, bytes]
) -> dict[str, Any]:
    """What both parts follow from, and how the store is asked."""
    rsync, passed, fixed = process.program("rsync"), process.PASSED_ON, process.environment()
    asked = fetch.questions(here, known.settings, known.generation, store)
    ends = [*here.names, here.conf, here.etc, here.at("usr/lib")]
    return {
        "of": (here.root, _code_of(here) or client()),
        "until": (report.tick // THOROUGH_EVERY + 1) * THOROUGH_EVERY,
        "after": time.time(),
        "host": quick_tick.host(),
        "settings": quick_tick.settings_of(os.environ),
        "room": [(place, records.ROOM, records.FILES) for place in here.names[:2]],
        "grounds": _with_ways(_grounds(here, known, rsync), ends),
        "served": user_mounts.KINDS,
        "parts": checks,
        "questions": [quick_files.question([rsync, *argv[1:]], here.state) for argv in asked],
        "environment": {name: value for name, value in fixed.items() if name not in passed},
        "passed": passed,
        "patience": known.settings.stall * stores.PATIENCE,
    }


def _grounds(here: System, known: Grounds, rsync: str) -> list[str]:
    """The paths that both parts follow from, beside those that they have noted themselves."""
    state, done, _, run = here.names
    fixed = ("etc/hosts", "etc/hostname", "etc/os-release", "usr/lib/os-release")
    paths = [here.at(path) for path in fixed]
    paths += ["/run/allie/virt", f"{run}/report", f"{done}/{done_files.HALF}"]
    places = process.environment()["PATH"].split(":")
    places = places[: places.index(os.path.dirname(rsync)) + 1]  # in an earlier one it would win
    paths += [os.path.realpath(rsync), *(f"{place}/rsync" for place in places)]
    directories = {
        state: here.state,
        f"{state}/undo": here.undo,
        f"{state}/mirror": here.mirror,
        f"{state}/mirror/{known.generation.number}": known.generation.path,
        here.etc: here.etc,
    }
    for name, directory in directories.items():
        paths += [name, *(f"{name}/{each}" for each in tree.names(directory))]
    return [path for path in paths if path != f"{state}/quick"]


def _scripts_of(
    here: System, report: Report, idle: set[str], followed: tuple[str, ...]
) -> dict[str, Any]:
    """What it follows from that no script is due; that one is, where one was at work or failed."""
    deadline, scripts = float("inf"), [here.conf, here.names[1]]
    scripts += [f"{here.conf}/{name}" for name in tree.names(here.conf)]
    scripts += [f"{here.names[1]}/{name}" for name in tree.names(here.done)]
    links = [path for path in scripts if os.path.islink(path)]
    # In another root an absolute link is not where it leads to for us
    settled = not report.needs_attention and (here.is_base or not links)
    for verdict in report.scripts:
        script = script_files.read(here, verdict.name)
        kits = verdict.name in idle or verdict.name in stubs.PARTS
        settled = settled and script is not None and verdict.state in _SETTLED
        if script and not kits:
            settled = settled and verdict.code is None
            deadline = min(deadline, _due_at(here, script))
    archive = [here.at(system.ARCHIVE)] if here.is_base else []
    return {
        "before": deadline if settled else 0.0,
        "scripts": _standing(scripts),
        "followed": _standing([*map(spoken, followed), *links, *archive], follow=True),
    }


def _due_at(here: System, script: Script) -> float:
    """When a script that is satisfied will be due again; never is infinity."""
    headers, done = rules.parse_headers(script.content), done_files.read(here, script.name)
    if headers.every == 0:
        return 0.0
    return rules.due_at(headers.every, done) if headers.every and done else float("inf")


def _standing(paths: Iterable[str], *, follow: bool = False) -> _Standing:
    unique = list(dict.fromkeys(paths))
    look = os.stat if follow else os.lstat
    return unique, [stood.standing(path, look) for path in unique]


def _with_ways(paths: list[str], ends: list[str]) -> _Standing:
    """What stands at paths; and of all that is above them, and above `ends`, where it leads."""
    found, seen = _standing(paths)
    above: dict[str, None] = {}
    for path in [*found, *(f"{end}/" for end in ends)]:
        while path := path.rpartition("/")[0]:
            above[path] = None
    ways = [path for path in above if path not in found]
    return found + ways, seen + [stood.way(path) for path in ways]


def _code_of(here: System) -> str:
    """The name of the quick tick's code, by which the archive in place begins; "" for another's.

    It is made here, from the code that is running, and so is tried before it is needed. After it
    comes what a whole tick begins with, which need not be found in the archive then.
    """
    archive = here.at(system.ARCHIVE)
    place = cache.find(os.path.realpath(archive)) if here.is_base else ""
    if not place or not allie.__file__.startswith(f"{place}/"):
        return ""
    name = cache.quick_name(archive)
    if not os.path.exists(f"{here.state}/quick/{name}"):
        for old in tree.names(f"{here.state}/quick"):
            if old.startswith(cache.QUICK):
                os.unlink(f"{here.state}/quick/{old}")
        table = sys.modules[__name__].__spec__.loader.table  # type: ignore[union-attr]
        if not all(table[module][2] for module in _QUICK):
            return ""
        from allie.machine.code import unpack  # noqa: PLC0415 - see HACKING.md, start-up

        code = [(module, marshal.loads(table[module][2])) for module in _QUICK]
        code.append(("start", unpack.compiled_start(place)))
        atomic.write(f"{here.state}/quick/{name}", marshal.dumps(code), 0o600)
    return name
