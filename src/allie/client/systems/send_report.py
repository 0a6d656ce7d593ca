"""Tell the store how this PC is: the work of 99report.

It goes to the host's own inbox, by the door that has what is its own, when it says something new,
and once a day. What could not be sent is kept, and goes at a later tick. A push is no fetch: what
ends it is the server's affair, and never this PC's disk's (`rsync.check`).

docs/internals/rules.md, "A report goes when it has news".
"""

from __future__ import annotations

import os
import time

from allie.client.mirror import generation as generations
from allie.client.mirror import stores
from allie.client.situation import gather_facts, hand_fixes, other_systems, settings_in_force
from allie.client.situation.hand_fixes import OFFERED, TAKEN
from allie.client.state import host_names, records
from allie.client.systems import record
from allie.client.tick import timer
from allie.core import digest
from allie.core.change import report as reports
from allie.core.change import sent_report
from allie.core.change.report import Contact
from allie.core.change.sent_report import Host, Times
from allie.core.conf import addresses
from allie.core.conf.settings import Declared, Settings
from allie.core.errors import DONE, TEMPFAIL, AllieError, StateError, StoreError
from allie.core.lean import dumps, loads
from allie.core.system import System
from allie.core.value import TYPE_CHECKING
from allie.machine import console
from allie.machine.files import atomic
from allie.machine.programs import process
from allie.machine.programs.process_groups import Bounds
from allie.machine.roots import within
from allie.machine.transfer import rsync, ssh_door

if TYPE_CHECKING:
    from typing import Any

_REPORT, _MOST = "var/lib/allie/report", 1 << 16  # of another system; bytes
_IMAGE = "var/lib/allie/image"  # of a system: the image that its tree came from
_TICK = 3600  # seconds from one tick to the next, at most
_WHOLE = 3  # times `stall`: what sending it may take, whatever is said meanwhile


def work(here: System) -> int:
    """Send what there is to tell, to where there is a place for it; 99report's exit status."""
    try:
        return _send(here)
    except AllieError as error:
        console.warn(f"allie: {error}")
        return error.exit_code


def has_news(here: System, settings: Settings, note: dict[str, Any]) -> bool:
    """Whether there is something to tell. note: of what was sent last, or is kept."""
    value = _value(here, settings, note)
    due = sent_report.is_due(value, note["value"], note["at"], time.time())
    return due or "kept" in note


def _send(here: System) -> int:
    settings = settings_in_force.settings_of(here)
    inbox, note = stores.inbox(here, settings), records.sent_report(here)
    _end_offers(here)
    value, door = _value(here, settings, note), Contact()
    try:
        door = records.own_contact(here) if addresses.is_door(inbox) else door
        why = "" if door.refused else door.trouble  # it was asked just now; refused, it answered
        why = why or _push(here, settings, inbox, dumps(value))
    except (StateError, StoreError) as error:
        why = str(error)
    if why:
        never = {"to": inbox, "at": 0.0, "value": {}}
        records.save_sent_report(here, {**never, **note, "kept": value})
        console.say(f"the report is kept for a later tick: {door.trouble or why}")
        return TEMPFAIL
    records.save_sent_report(here, {"to": inbox, "at": time.time(), "value": value})
    return DONE


def _push(here: System, settings: Settings, inbox: str, text: str) -> str:
    """Send a text as the file `report`; why it was not taken, "" if it was."""
    place = f"{here.state}/outbox"
    os.makedirs(place, 0o700, exist_ok=True)
    atomic.write(f"{place}/report", text, 0o600, durable=False)
    reach = stores.reach(here, settings, inbox)
    argv = ["rsync", "-t", *reach, "--", f"{place}/report", stores.inbox_at(here, settings, inbox)]
    bounds = Bounds(settings.stall, time.monotonic() + settings.stall * _WHOLE)
    done = process.run(argv, bounds=bounds, only_reads=True)
    if done.cut:
        return f"{inbox} {done.cut.words}"
    if done.code:
        ssh_door.check(done, inbox)
        return f"{inbox} did not take it: {rsync.reason(done)}"
    return ""


def _end_offers(here: System) -> None:
    """Forget what the store has taken; say of what is not offered any more why."""
    for each in hand_fixes.judged(here):
        if each.state == TAKEN:
            hand_fixes.forget(here, each.fix.path)
            console.say(f"the store has taken what was offered of /{each.fix.path}")
        elif each.state != OFFERED:
            console.say(f"not offered any more: /{each.fix.path}: {each.why}; `allie adopt --list`")


def _value(here: System, settings: Settings, note: dict[str, Any]) -> dict[str, Any]:
    """What is to be sent, as it is when it is read again."""
    sent = note.get("kept", note.get("value", {}))
    report = records.report_so_far(here)
    generation = generations.current(here)
    systems = []
    if report:
        overlays = generation.overlays if generation else settings.overlays
        image = (atomic.read(f"{here.state}/image") or "").strip() or report.image
        known = gather_facts.without_classes(here, settings.host, generation=generation)
        own = sent_report.told(report._replace(image=image), sent, overlays, known)
        systems = [{**own, "wanted": settings.image}]
    systems += [_other(here, each, sent) for each in settings.others if each.is_looked_after]
    began = report.began if report else time.time()
    times = Times(time.time(), began + _TICK if timer.is_on(here) else 0.0)
    offers = [each.fix for each in hand_fixes.judged(here) if each.state == OFFERED]
    told = sent_report.value_of(_machine(here, settings), systems, times, offers)
    value: dict[str, Any] = loads(dumps(told))
    return value


def _other(base: System, declared: Declared, sent: dict[str, Any]) -> dict[str, Any]:
    """What is sent of another system: why it is not there, and its own last tick, if it is seen.

    One on a partition is not mounted for this.
    """
    name = declared.name
    stands: dict[str, Any] = {
        "system": name,
        "wanted": declared.image,
        "overlays": [*declared.overlays],
        "trouble": record.trouble(base, name).message,
        "rolled_back": record.image_rolled_back(base, name),
        "arriving": record.arriving(base, name),
    }
    if declared.is_partition:
        return stands
    try:
        root = other_systems.directory_of(base, declared)
        if not os.path.lexists(root):
            return {**stands, "arriving": stands["arriving"] or "not there yet"}
        report = reports.from_json(loads(within.text(root, _REPORT, _MOST) or "null"))
        image = (within.text(root, _IMAGE, _MOST) or "").strip() or report.image
        return {**sent_report.told(report._replace(system=name, image=image), sent), **stands}
    except (AllieError, AttributeError, KeyError, RecursionError, TypeError, ValueError):
        return stands  # it has none yet, or its root has made something else of it


def _machine(here: System, settings: Settings) -> Host:
    host = host_names.of(here, settings.host)[0]
    own = (within.text(here.root, "etc/machine-id") or "").strip()
    lines = (atomic.read("/proc/stat") or "").splitlines()
    booted = [int(line.split()[1]) for line in lines if line.startswith("btime ")]
    disk = os.statvfs(here.root)
    return Host(
        host,
        own and digest.of(f"allie {own}".encode())[:32],
        (atomic.read("/proc/sys/kernel/random/boot_id") or "").strip(),
        max(booted, default=0),
        os.uname().release,
        disk.f_blocks * disk.f_frsize,
        disk.f_bavail * disk.f_frsize,
        _rsync(here),
    )


def _rsync(here: System) -> str:
    """The version of the rsync that fetched; "" where there is none any more."""
    try:
        return ".".join(map(str, rsync.version(f"{here.state}/rsync").number))
    except StateError:
        return ""
