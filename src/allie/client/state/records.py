"""The small files of /var/lib/allie: ledger, tick number, pause, contact, report and history."""

from __future__ import annotations

import os
import time

from allie.client.state import quick_files
from allie.core.change import ledger as ledgers
from allie.core.change import report as reports
from allie.core.change.ledger import Ledger
from allie.core.change.report import Applied, Contact, Report
from allie.core.errors import StateError
from allie.core.lean import dumps, loads, suppress
from allie.core.system import System
from allie.core.value import TYPE_CHECKING, Value
from allie.machine.files import atomic, lock, stood

if TYPE_CHECKING:
    from typing import Any

OWN_CONTACT = "own-contact"
_HISTORY_BYTES = 2_000_000  # history is cut to half of this when it grows beyond
_TICK = "ALLIE_TICK"
_DIGITS = 15  # of a tick's number; more are no number that was counted
ROOM, FILES = 1 << 20, 16  # bytes and files that a tick's own books may need


class Pause(Value):
    """Ticks only report, until `until` (seconds since the epoch; 0: until `resume`)."""

    reason: str
    until: float = 0.0

    @property
    def end(self) -> str:
        """` until` and when; "" where only `resume` ends it."""
        when = time.localtime(self.until)
        return time.strftime(" until %Y-%m-%d %H:%M", when) if self.until else ""


def load_ledger(system: System) -> Ledger:
    """The ledger; an empty one if there was none yet, a *lost* one if it cannot be read."""
    text = atomic.read(system.ledger)
    if text is None:
        return ledgers.empty(lost=os.path.isdir(system.pristine))
    try:
        return ledgers.decode(text)
    except ValueError:
        os.rename(system.ledger, f"{system.ledger}.damaged")
        return ledgers.empty(lost=True)


def begin_ledger(system: System) -> None:
    """Write an empty ledger before the first pristine file: those without one mean it was lost."""
    if not os.path.lexists(system.ledger) and not os.path.isdir(system.pristine):
        save_ledger(system, ledgers.empty())


def save_ledger(system: System, ledger: Ledger) -> None:
    """Replace the ledger by one rename; durable when this returns."""
    atomic.write(system.ledger, ledgers.encode(ledger), 0o600)


def this_tick(system: System) -> int:
    """The number of the tick that we are in; a new one for a part that is run by hand.

    A counter and not the time: clocks jump.
    """
    inherited = os.environ.get(_TICK, "")
    return int(inherited) if inherited.isdigit() else next_tick(system)


def last_tick(system: System) -> int:
    """The number of the tick, or undo, that was begun last; 0 before the first.

    The counter may be lost, damaged, or come from a backup. So it is not below any that undo has:
    two ticks of one number would overwrite each other's copies.
    """
    counted = _number((atomic.read(f"{system.state}/tick") or "").strip())
    if counted is None:
        reported = last_report(system)
        counted = reported.tick if reported else 0
    quick = _since_whole_tick(system)
    return max([counted, quick[0] if quick else 0, *kept_ticks(system)])


def next_tick(system: System) -> int:
    """Begin a whole tick: its number. Raises StateError where the disk takes no write.

    What quick ticks have noted since the last one counts no more from now on, and so is kept.
    """
    number = last_tick(system) + 1
    if _since_whole_tick(system):
        save_contact(system, contact(system))
        if own_contact(system).server:
            save_own_contact(system, own_contact(system))
    atomic.write(f"{system.state}/tick", f"{number}\n", durable=False)
    return number


def _since_whole_tick(system: System) -> tuple[int, float, float, float] | None:
    """What the last quick tick has noted, if it came after the last whole one."""
    last = quick_files.read_last(system.state)
    whole = _number((atomic.read(f"{system.state}/tick") or "").strip())
    return last if last and last[0] > (whole or 0) else None


def kept_ticks(system: System) -> list[int]:
    """The numbers of the ticks whose changes are kept in undo, oldest first."""
    try:
        found = [_number(name) for name in os.listdir(system.undo)]
    except FileNotFoundError:
        return []
    return sorted(number for number in found if number is not None)


def _number(text: str) -> int | None:
    """The number of a tick, as it is written; None where it is damaged."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None


def need_room(system: System) -> None:
    """Raise StateError where a tick could not keep its books: a read-only or a full disk.

    The scripts are then not run either: without a done-file they would repeat every hour.
    """
    for place in (system.state, system.done):
        while not os.path.isdir(place):
            place = os.path.dirname(place)
        if not os.access(place, os.W_OK):
            words = f"{place} cannot be written: nothing was begun"
            raise StateError(words, "a read-only disk? or immutable (chattr -i)?")
        if not stood.has_room(place, ROOM, FILES):
            raise StateError(f"the disk under {place} is full: nothing was begun", "make room")


def is_half_written(name: str) -> bool:
    """Whether a kill left this of the state; not a pause, which may be written at any time."""
    return name.endswith(".part") and name != "paused.part"


def read_json(path: str) -> Any:
    """The JSON value in a file, or None."""
    try:
        return loads(atomic.read(path) or "null")
    except ValueError:
        return None


def contact(system: System) -> Contact:
    """How we stand with the store."""
    return _contact(system, "contact")


def own_contact(system: System) -> Contact:
    """How we stand with what the store has for this host alone; no server: with nothing."""
    found = _contact(system, OWN_CONTACT)
    return found if found.server else Contact()


def _contact(system: System, name: str) -> Contact:
    value = read_json(f"{system.state}/{name}")
    found = reports.contact_from_json(value) if isinstance(value, dict) else Contact()
    quick = _since_whole_tick(system)
    return found.after_answer(quick[3]) if quick else found


def save_contact(system: System, value: Contact) -> None:
    """Note how we stand with the store."""
    atomic.write(f"{system.state}/contact", dumps(value._asdict()), durable=False)


def save_own_contact(system: System, value: Contact) -> None:
    """Note how we stand with what the store has for this host alone."""
    atomic.write(f"{system.state}/{OWN_CONTACT}", dumps(value._asdict()), durable=False)


def save_applied(system: System, applied: Applied) -> None:
    """Note what a part did; the tick's report takes it from there."""
    text = dumps(reports.to_json(applied))
    atomic.write(system.applied(applied.part), text, durable=False)


def applied(system: System, part: str) -> Applied | None:
    """What a part last did."""
    value = read_json(system.applied(part))
    return reports.applied_from_json(value) if isinstance(value, dict) else None


def pause(system: System) -> Pause | None:
    """The pause in force, if there is one."""
    value = read_json(f"{system.state}/paused")
    if not isinstance(value, dict):
        return None
    found = Pause(value.get("reason", ""), value.get("until", 0.0))
    return None if found.until and found.until < time.time() else found


def set_pause(system: System, value: Pause | None) -> None:
    """Begin a pause, or (None) end it."""
    path = f"{system.state}/paused"
    if value:
        lock.make_state(system)  # before the first tick there is none
        atomic.write(path, dumps(value._asdict()))
    else:
        atomic.remove(path)


def save_report(system: System, report: Report) -> None:
    """Make this the system's status, and add it to the history if anything happened."""
    text = dumps(reports.to_json(report))
    atomic.write(f"{system.state}/report", text, 0o644, durable=False)
    add_to_history(system, report)


def add_to_history(system: System, report: Report) -> None:
    """Add a line to the history, if anything happened."""
    if report.is_quiet:
        return
    path = f"{system.state}/history"
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with open(os.open(path, flags, 0o644), "ab") as file:
        file.write(dumps(reports.to_json(report)).encode() + b"\n")
        size = file.tell()
    if size > _HISTORY_BYTES:
        lines = (atomic.read(path) or "").splitlines(keepends=True)
        atomic.write(path, "".join(lines[len(lines) // 2 :]))


def save_report_so_far(system: System, report: Report) -> None:
    """Note what a tick's report is before its last script, which sends it."""
    atomic.write(f"{system.state}/report-so-far", dumps(reports.to_json(report)), durable=False)


def report_so_far(system: System) -> Report | None:
    """The report of this tick, as far as it is known; else of the last one."""
    value, last = read_json(f"{system.state}/report-so-far"), last_report(system)
    with suppress(AttributeError, TypeError, ValueError):  # damaged, as by a power failure
        found = reports.from_json(value) if isinstance(value, dict) else None
        return found if found and (not last or found.tick > last.tick) else last
    return last


def save_sent_report(system: System, note: dict[str, Any]) -> None:
    """Note what was sent: `to` whom, `at` what time, and the `value`."""
    atomic.write(f"{system.state}/report-sent", dumps(note), 0o600, durable=False)


def sent_report(system: System) -> dict[str, Any]:
    """What was sent last; {} if nothing was."""
    note = read_json(f"{system.state}/report-sent")
    return note if isinstance(note, dict) and {"to", "at", "value"} <= note.keys() else {}


def last_report(system: System) -> Report | None:
    """The last tick's report; the one on /run if the disk was full or read-only."""
    known = []
    for place in (system.run, system.state):
        # damaged, as by a power failure: the next one takes its place
        with suppress(StateError, AttributeError, TypeError, ValueError):
            value = read_json(f"{place}/report")
            known += [reports.from_json(value)] if isinstance(value, dict) else []
    quick = quick_files.read_last(system.state)
    # By its time, too: a client that knows no quick ticks may have counted from the last whole one
    if known and quick and quick[1] > known[-1].began and quick[0] > known[-1].tick > 0:
        known[-1] = _renewed(known[-1], *quick)
    return max(known, key=lambda report: report.began, default=None)


def _renewed(report: Report, number: int, began: float, seconds: float, answered: float) -> Report:
    """A report after a quick tick, which found that nothing had changed since."""
    contact, own = report.contact.after_answer(answered), report.own_door
    own = own.after_answer(answered) if own.server else own
    same = tuple(each._replace(tick=number) for each in report.applied)
    return report._replace(
        tick=number, began=began, seconds=seconds, contact=contact, own_door=own, applied=same
    )


def history(system: System) -> list[Report]:
    """The reports of ticks in which something happened, oldest first."""
    out = []
    for line in (atomic.read(f"{system.state}/history") or "").splitlines():
        try:
            out.append(reports.from_json(loads(line)))
        except (ValueError, TypeError):
            continue  # a line cut short by a power failure
    return out
