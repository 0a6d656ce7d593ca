"""Process groups: watch one, bound what it may take, end one with all that it started (proc(5)).

Every program that ALLiE runs leads a session and a process group of its own; what it forks is in
them, too (rsync: generator, receiver, and its ssh).
"""

from __future__ import annotations

import os
import time

from allie.core.lean import signal, suppress
from allie.core.value import Value

LOOK = 1.0  # seconds between two looks at a group's progress
LEAST = 512  # bytes a second: no line on which a fetch could be of use is slower
WINDOW = 5  # for so many times `stall` on average
_GRACE = 2.0  # seconds between SIGTERM and SIGKILL
_MEMORY = 1 << 30  # bytes; rsync takes about 100 for each name
_ROOM = 1 << 30  # bytes, or a fiftieth of the disk where that is less
_SHARE = 50

AWAY, MUCH, FULL = "away", "much", "full"


class Cut(Value):
    """Why we ended a program before it was done."""

    kind: str  # AWAY: it gives too little; MUCH: too much; FULL: this disk
    words: str


class Bounds(Value):
    """What a program that listens to somebody else may take. Whoever that is may be hostile.

    Too little comes where none of its processes reads a byte for `stall` seconds, or less than
    LEAST a second over WINDOW times that: a byte now and then is no progress. Where it is not done
    `until` (time.monotonic) it is ended, too, and where one of its processes takes more memory than
    rsync needs for any tree that we know. disk: a directory; some of that disk's room stays free,
    root's reserve counted as free, in bytes and in inodes.
    """

    stall: float
    until: float = float("inf")
    disk: str = ""


def end(pid: int) -> None:
    """End a child and everything in its session: TERM, and soon KILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not _tell(pid, number):
            return
        until = time.monotonic() + _GRACE
        while time.monotonic() < until and _lives(pid):
            time.sleep(0.02)


def ask(group: int, number: int) -> None:
    """Send a signal to those of a group that have a handler for it."""
    for pid in _members(group):
        try:
            with open(f"/proc/{pid}/status", encoding="utf-8") as status:
                caught = next(line for line in status if line.startswith("SigCgt:"))
            if int(caught.split()[1], 16) >> (number - 1) & 1:
                os.kill(pid, number)
        except (OSError, StopIteration):
            continue  # it has ended


def as_shell(code: int) -> int:
    """An exit status that says by which signal a process was ended, as a shell has it."""
    return code if code >= 0 else 128 - code


def be_init(program: int) -> int:
    """As the first process of a pid namespace: wait for a program, and for what it orphans.

    Returns its exit status. The program is not the first one itself: that one is deaf to the
    signals that it does not handle.
    """
    while True:
        ended, status = os.wait()
        if ended == program:
            return as_shell(os.waitstatus_to_exitcode(status))


def start_of(pid: int) -> str:
    """When a process began, in the kernel's ticks; "" if there is none. (pid, start) is unique."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == b"Z" else fields[19].decode()


class Watch:
    """Ends a child, with all that it started, once it goes beyond its bounds.

    asks: meanwhile it is asked every second how far it is, by this signal; 0: it is not.
    """

    def __init__(self, pid: int, bounds: Bounds | None, asks: int = 0) -> None:
        self.pid = pid
        self.bounds = bounds
        self.asks = asks
        self.cut: Cut | None = None
        self._bytes = -1
        self._since = time.monotonic()
        self._looked = self._since  # what ends within a second is not looked at
        self._samples: list[tuple[float, int]] = []
        self._least: tuple[int, int] | None = None

    def look(self) -> None:
        """Look, if it is time to."""
        now = time.monotonic()
        if self.bounds is None or self.cut or now - self._looked < LOOK:
            return
        self._looked = now
        members = _members(self.pid)
        cut = self._pace(self.bounds, now, sum(map(_bytes_read, members)))
        if now >= self.bounds.until:
            cut = cut or Cut(AWAY, "was not done in the time that a fetch has")
        if max(map(_memory, members), default=0) > _most_memory():
            cut = Cut(MUCH, "sends more names than this PC has memory for")
        if self.bounds.disk and not self._leaves_room(self.bounds.disk):
            cut = Cut(FULL, f"what comes would fill the disk under {self.bounds.disk}")
        if cut:
            self.end(cut)
        elif self.asks:
            ask(self.pid, self.asks)

    def end(self, cut: Cut) -> None:
        """End it now."""
        self.cut = self.cut or cut
        end(self.pid)

    def _pace(self, bounds: Bounds, now: float, count: int) -> Cut | None:
        if count < self._bytes:  # one of its processes has ended, and its count went with it
            self._samples.clear()
        if count != self._bytes:
            self._bytes, self._since = count, now
        elif now - self._since >= bounds.stall:
            return Cut(AWAY, "stopped sending")
        window = bounds.stall * WINDOW
        self._samples.append((now, count))
        while len(self._samples) > 1 and self._samples[1][0] <= now - window:
            del self._samples[0]
        then, before = self._samples[0]
        if now - then >= window and count - before < LEAST * (now - then):
            rate = (count - before) / (now - then)
            return Cut(AWAY, f"sends too slowly: {rate:.0f} bytes a second for {now - then:.0f} s")
        return None

    def _leaves_room(self, where: str) -> bool:
        """Whether its disk has room left; where it had little to begin with, half of that."""
        try:
            disk = os.statvfs(where)
        except OSError:
            return True  # it is not there yet
        free, files = disk.f_bfree * disk.f_frsize, disk.f_ffree
        if self._least is None:
            least = min(_ROOM, disk.f_blocks * disk.f_frsize // _SHARE, free // 2)
            self._least = (least, min(disk.f_files // _SHARE, files // 2))
        return free >= self._least[0] and files >= self._least[1]


def _tell(pid: int, number: int) -> bool:
    """Send a signal to a group, and to who left it for one of his own; False: nobody is there."""
    try:
        os.killpg(pid, number)
        there = True
    except ProcessLookupError:
        there = False
    for each in _members(pid):
        with suppress(ProcessLookupError):
            if os.getpgid(each) != pid:
                os.kill(each, number)
                there = True
    return there


def _members(group: int) -> list[int]:
    """The leader of a process group, or who will be; those of it, and of the leader's session."""
    members = []
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        with suppress(ProcessLookupError):
            if group in (pid, os.getpgid(pid), os.getsid(pid)):
                members.append(pid)
    return members


def _bytes_read(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/io", "rb") as io:
            return int(io.readline().split()[1])
    except (OSError, IndexError):
        return 0


def _memory(pid: int) -> int:
    """The memory of a process that is really there, in bytes."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as sizes:
            return int(sizes.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def _most_memory() -> int:
    return min(_MEMORY, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)


def _lives(group: int) -> bool:
    return any(start_of(pid) for pid in _members(group))
