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
from _collections_abc import Callable, Iterable, Mapping

import allie
from allie.client.apply import unchanged
from allie.client.mirror import questions, stores
from allie.client.situation import grounds
from allie.client.situation.grounds import Grounds
from allie.client.state import away_stores, done_files, quick_files, quick_seal, quick_tick, records
from allie.client.tick import part, script_states
from allie.core import digest, stubs, system
from allie.core import script as rules
from allie.core.change.report import SENT_AGAIN, Report
from allie.core.errors import AllieError, spoken
from allie.core.script import Done
from allie.core.system import System
from allie.core.value import TYPE_CHECKING
from allie.machine.code import cache
from allie.machine.files import atomic, stood, tree
from allie.machine.mounts import user_mounts
from allie.machine.programs import process
from allie.machine.roots.paths import real_location

if TYPE_CHECKING:
    from typing import Any

    from allie.machine.files.stood import Stood

_MOST_PATIENCE = 1 << 30  # seconds that alarm(2) takes
_QUICK = (
    "allie.machine.programs.lifeline",
    "allie.machine.files.stood",
    "allie.client.state.quick_files",
    "allie.client.state.quick_tick",
)
_SETTLED = ("satisfied", "test")
_Standing = tuple[list[str], list["Stood"]]


def write(
    here: System,
    report: Report,
    is_idle: Mapping[str, Callable[[System], bool]],
    follows: Callable[[System], list[str]],
) -> None:
    """Note what this tick followed from, if its parts had nothing to do; the tick has the lock.

    is_idle: whether others of the kit's scripts have anything to do; follows: the paths that this
    follows from.
    """
    try:
        known = grounds.gather(here)
        contact = report.contact
        wanted = stores.in_turn(here, known.settings)[0]
        current = (known.generation.number, "", "", "")
        stands = (contact.generation, contact.trouble, contact.unfollowed, known.coming)
        asked = contact.by or contact.server
        if stands != current or asked != wanted or report.own_door.trouble:
            return
        note = _note_of(here, known, report, wanted)
        note.update(_scripts_of(here, follows(here)))
        time.sleep(unchanged.FRESH / 1e9)
        # What was changed until now is seen here; what is changed from now on, by the next lstat
        note["parts"] = {
            name: unchanged.is_noted(here, name, known) for name in stubs.PARTS.values()
        }
        if grounds.gather(here) != known or not all(note["parts"].values()):
            return
        idle = {name for name, tells in is_idle.items() if tells(here)}
        note["before"] = min(note["before"], _next_due(here, report, {*idle, *stubs.PARTS}))
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
    own = records.own_contact(here)
    if own.server:
        records.save_own_contact(here, own.after_answer(note["answered"]))
    return contact.generation


def client() -> str:
    """What tells this client from any other, where it does not begin as an archive does."""
    return f"{allie.__version__} {allie.__file__}"


def _note_of(here: System, known: Grounds, report: Report, store: str) -> dict[str, Any]:
    """What both parts follow from, and how the store is asked."""
    rsync = process.program("rsync")
    asked = questions.routine(here, known.settings, known.generation, store)
    ends = [*here.names, here.conf, here.etc, here.at("etc"), here.at("usr/lib")]
    return {
        "of": (here.root, _code_of(here) or client()),
        # A quick tick asks the store what a routine one does
        "until": (report.tick // part.THOROUGH_EVERY + 1) * part.THOROUGH_EVERY,
        "after": time.time(),
        "again": min(
            away_stores.next_due(here, stores.in_own_order(known.settings), store),
            _next_report(here),
        ),
        "host": quick_tick.host(),
        "settings": quick_tick.settings_of(os.environ),
        "room": [(place, records.ROOM, records.FILES) for place in here.names[:2]],
        "grounds": _with_ways(_grounds(here, known, rsync), ends),
        "served": user_mounts.KINDS,
        "questions": [quick_files.question([rsync, *argv[1:]], here.state) for argv in asked],
        "environment": process.fixed(),
        "passed": process.PASSED_ON,
        "patience": min(known.settings.stall * stores.PATIENCE, _MOST_PATIENCE),
    }


def _grounds(here: System, known: Grounds, rsync: str) -> list[str]:
    """The paths that both parts follow from, beside those that they have noted themselves."""
    state, done, _, run = here.names
    etc, lib = (real_location(here.root, each) for each in ("etc", "usr/lib"))
    paths = [f"{etc}/hosts", f"{etc}/hostname", f"{etc}/os-release", f"{lib}/os-release"]
    paths += ["/run/allie/virt", f"{run}/report", f"{done}/{done_files.HALF}"]
    places = [f"{place}/rsync" for place in process.fixed()["PATH"].split(":")]
    paths += [os.path.realpath(rsync), *places]  # in an earlier place another would win
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


def _scripts_of(here: System, followed: list[str]) -> dict[str, Any]:
    """What it follows from how the scripts stand."""
    scripts = [here.conf, here.names[1]]
    scripts += [f"{here.conf}/{name}" for name in tree.names(here.conf)]
    scripts += [f"{here.names[1]}/{name}" for name in tree.names(here.done)]
    links = [path for path in scripts if os.path.islink(path)]
    archive = [here.at(system.ARCHIVE)] if here.is_base else []
    return {
        # In another root an absolute link is not where it leads to for us
        "before": float("inf") if here.is_base or not links else 0.0,
        "scripts": _standing(scripts),
        "followed": _standing([*map(spoken, followed), *links, *archive], follow=True),
    }


def _next_report(here: System) -> float:
    """When the store is to be told again how this PC is."""
    note = records.sent_report(here)
    return float(note["at"]) + SENT_AGAIN if note and note["to"] else float("inf")


def _next_due(here: System, report: Report, idle: set[str]) -> float:
    """When the first script is due; 0 if one is now, was at work in this tick, or fails."""
    known = [each.name for each in report.scripts]
    if report.needs_attention or script_states.names(here) != known:
        return 0.0
    first = float("inf")
    for was in report.scripts:
        now, script, headers = script_states.standing(here, was.name, {}, time.time())
        if script:
            is_kits = digest.of(script.content) in stubs.DIGESTS and was.name in idle
            settled = is_kits and was.state == "satisfied"
        else:
            settled = was.code is None and was.state == now.state in _SETTLED
        if not settled:
            return 0.0
        if headers.every and now.state == "satisfied":
            first = min(first, rules.due_at(headers.every, Done("", now.since)))
    return first


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
        code_of = sys.modules[__name__].__spec__.loader.code  # type: ignore[union-attr]
        if not all(code_of(module) for module in _QUICK):
            return ""
        from allie.machine.code import unpack  # noqa: PLC0415 - see HACKING.md, start-up

        code = [(module, marshal.loads(code_of(module))) for module in _QUICK]
        code.append(("start", unpack.compiled_start(place)))
        atomic.write(f"{here.state}/quick/{name}", marshal.dumps(code), 0o600)
    return name
