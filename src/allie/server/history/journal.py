"""STORE/fleet on disk: under a lock, bounded, and whole whatever happens between two writes.

    known              what the last look found: a head, and a line for each host
    log/2026-11-29     what became otherwise, by days (UTC): one JSON value a line, the newest last
    counts             how the fleet stood: one JSON value a line, the newest last

One rename of `known` is what makes a look count. Its head has what that look appends to the other
files, and where: so the next look finishes one that was killed there, and nothing is noted twice.
A line that is none (a disk was full, a file was damaged) is passed over by whoever reads.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from allie.core.errors import Busy, StateError, TooLarge
from allie.core.value import Value
from allie.machine.files import atomic, lock

DIRECTORY, LOG, COUNTS = "fleet", "log", "counts"
DAYS = 366  # days on which something happened, of which the log is kept
MOST_OF_A_DAY, MOST_IN_ALL = 32 << 20, 512 << 20  # bytes of the log
_KNOWN = "known"
_MOST = 256 << 20  # bytes of a file
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_PATIENCE = 30  # seconds to wait for another look


class Known(Value):
    """What the last look found."""

    at: float  # when that was; 0: there was none, or it cannot be read
    counted: float  # when the newest of the counts was made
    lines: dict[str, str]  # host → what was written of it
    is_damaged: bool = False


class Journal:
    """The directory, while we hold its lock."""

    def __init__(self, place: str) -> None:
        self.place = place

    def known(self) -> Known:
        """What the last look found; first, what that left undone is done."""
        text = "\n".join(_lines(f"{self.place}/{_KNOWN}"))
        head, _, rest = text.partition("\n")
        value = parsed(head)
        try:
            known = Known(float(value["at"]), float(value["counted"]), {})
            add = [(str(name), int(at), str(lines)) for name, at, lines in value["add"]]
        except (KeyError, TypeError, ValueError):
            return Known(0.0, 0.0, {}, bool(text))
        for each in add:
            self._append(*each)
        return known._replace(lines={line.partition("\t")[0]: line for line in rest.split("\n")})

    def keep(self, known: Known, added: Mapping[str, str]) -> None:
        """Make a look count. added: file below our directory → the lines that it gets.

        Raises StateError where the disk does not take it; then nothing of it counts, or all.
        """
        add = [(name, self.size(name), text) for name, text in added.items() if text]
        head = json.dumps({"at": known.at, "counted": known.counted, "add": add})
        text = "\n".join([head, *known.lines.values()])
        atomic.write(f"{self.place}/{_KNOWN}", text, 0o600)
        for each in add:
            self._append(*each)

    def room(self, day: str) -> int:
        """How many bytes the log of a day takes yet."""
        return MOST_OF_A_DAY - self.size(f"{LOG}/{day}")

    def replace(self, name: str, text: str) -> None:
        """Give a file another content, which ends as it did."""
        atomic.write(f"{self.place}/{name}", text, 0o600)

    def prune(self, today: str) -> None:
        """Remove the oldest days beyond what is kept."""
        days = _days(self.place, today)
        size = sum(self.size(f"{LOG}/{day}") for day in days)
        for number, day in enumerate(days[:-1]):
            if len(days) - number > DAYS or size > MOST_IN_ALL:
                size -= self.size(f"{LOG}/{day}")
                atomic.remove(f"{self.place}/{LOG}/{day}")

    def size(self, name: str) -> int:
        """How large a file is; 0 where there is none."""
        try:
            return os.lstat(f"{self.place}/{name}").st_size
        except FileNotFoundError:
            return 0

    def _append(self, name: str, at: int, lines: str) -> None:
        """Have a file end with lines, which were to begin at a byte; it may end so already."""
        text = lines.encode()
        path = f"{self.place}/{name}"
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags, 0o600)
            try:
                size = os.fstat(descriptor).st_size
                if os.pread(descriptor, len(text), max(0, size - len(text))) == text:
                    return
                os.truncate(descriptor, min(at, size))
                os.lseek(descriptor, 0, os.SEEK_END)
                while text:
                    text = text[os.write(descriptor, text) :]
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise atomic.refused(f"cannot write {path}", error) from error


@contextmanager
def opened(store: str) -> Iterator[Journal]:
    """The journal of a store, under its lock. Raises Busy, or StateError."""
    place = f"{store}/{DIRECTORY}"
    try:
        for each in (place, f"{place}/{LOG}"):
            os.makedirs(each, 0o700, exist_ok=True)
    except OSError as error:
        raise StateError(f"cannot make {place}: {error.strerror}") from error
    busy = Busy(f"another `allie fleet` is at work in {place}", "wait for its end")
    with lock.of_directory(place, lambda: busy, patience=_PATIENCE):
        yield Journal(place)


def newest_first(store: str, first_day: str, today: str) -> Iterator[dict[str, Any]]:
    """What the log has, from its end on; without a lock.

    first_day: no day before this, nor one that is not yet; "": all.
    """
    place = f"{store}/{DIRECTORY}"
    for day in reversed(_days(place, today)):
        if first_day and not first_day <= day <= today:
            return
        yield from _values(reversed(_lines(f"{place}/{LOG}/{day}")))


def oldest_first(store: str, name: str) -> Iterator[dict[str, Any]]:
    """What a file of the journal has, line by line."""
    return _values(_lines(f"{store}/{DIRECTORY}/{name}"))


def parsed(line: str) -> dict[str, Any]:
    """The JSON object that a line is; an empty one where it is none."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _values(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    return filter(None, map(parsed, lines))


def _lines(path: str) -> list[str]:
    """All lines of a file. Raises StateError where the disk does not say: it is not begun anew."""
    try:
        data = atomic.read_bytes(path, _MOST) or b""
    except TooLarge:  # than anything that we write
        return []
    return data.decode(errors="replace").split("\n")


def _days(place: str, today: str) -> list[str]:
    """The days of which there is a log, the oldest first; as older than all counts one to come."""
    try:
        days = filter(_DAY.fullmatch, os.listdir(f"{place}/{LOG}"))
        return sorted(days, key=lambda day: (day <= today, day))
    except OSError:
        return []
