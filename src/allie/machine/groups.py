"""Process groups: watch one for progress, end one with all that it started (proc(5))."""

from __future__ import annotations

import os
import signal
import time

LOOK = 1.0  # seconds between two looks at a group's progress
_GRACE = 2.0  # seconds between SIGTERM and SIGKILL


def end(pid: int) -> None:
    """End a child and everything in its process group: TERM, and soon KILL."""
    for number, grace in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, 0.0)):
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            return
        until = time.monotonic() + grace
        while time.monotonic() < until and _group_lives(pid):
            time.sleep(0.02)


def ask(group: int, number: int) -> None:
    """Send a signal to those of a process group that have a handler for it."""
    for pid in _members(group):
        try:
            with open(f"/proc/{pid}/status", encoding="utf-8") as status:
                caught = next(line for line in status if line.startswith("SigCgt:"))
            if int(caught.split()[1], 16) >> (number - 1) & 1:
                os.kill(pid, number)
        except (OSError, StopIteration):
            continue  # it has ended


def start_of(pid: int) -> str:
    """When a process began, in the kernel's ticks; "" if there is none. (pid, start) is unique."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == b"Z" else fields[19].decode()


class Watch:
    """Ends a child's group once none of its processes has read a byte for `stall` seconds.

    asks: meanwhile it is asked every second how far it is, by this signal; 0: it is not.
    """

    def __init__(self, pid: int, stall: float | None, asks: int = 0) -> None:
        self.pid = pid
        self.stall = stall
        self.asks = asks
        self.bytes = -1
        self.since = time.monotonic()
        self.looked = self.since  # what ends within a second is not looked at
        self.ended = False

    def look(self) -> None:
        now = time.monotonic()
        if self.stall is None or self.ended or now - self.looked < LOOK:
            return
        self.looked = now
        count = sum(_bytes_read(pid) for pid in _members(self.pid))
        if count != self.bytes:
            self.bytes, self.since = count, now
        elif now - self.since >= self.stall:
            self.ended = True
            end(self.pid)
        if self.asks and not self.ended:
            ask(self.pid, self.asks)


def _members(group: int) -> list[int]:
    """The processes of a process group, from /proc."""
    members = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.getpgid(int(name)) == group:
                    members.append(int(name))
            except ProcessLookupError:
                continue
    return members


def _bytes_read(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/io", "rb") as io:
            return int(io.readline().split()[1])
    except (OSError, IndexError):
        return 0


def _group_lives(group: int) -> bool:
    return any(start_of(pid) for pid in _members(group))
