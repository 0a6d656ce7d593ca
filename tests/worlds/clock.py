"""A clock that jumps: hours of a fleet in minutes of a test, for the real programs.

    clock = Clock()
    clock.forward(3600)                   # an hour passes
    run(clock.on_a_pc(job))               # a job that reads this clock, for a forked child
    run(clock.on_the_server(job))         # and for which files have the times of this clock

Between two jumps it goes as fast as the real one. ALLiE's own code goes by it (`time.time`, and on
the server also what `stat` says of a file's times); the kernel, rsync and sshd go by the real one.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any

_GRAIN = 0.02  # seconds: files have the kernel's coarse time, which lags by some milliseconds
_TIMES = ("atime", "mtime", "ctime")
_real = time.time


class Clock:
    """Simulated time, in seconds since the epoch. It begins as the real one."""

    def __init__(self) -> None:
        self._jumps = [(0.0, 0.0)]  # since this real time, it is ahead by so many seconds

    def now(self) -> float:
        """What it shows."""
        return self.of(_real())

    def of(self, real: float) -> float:
        """What it showed at a real time."""
        at = bisect_right(self._jumps, (real, float("inf"))) - 1
        return real + self._jumps[at][1]

    def forward(self, seconds: float) -> None:
        """Let so much time pass at once."""
        time.sleep(_GRAIN)
        self._jumps.append((_real(), self._jumps[-1][1] + seconds))
        time.sleep(_GRAIN)

    def on_a_pc(self, job: Callable[[], int], ahead: float = 0.0) -> Callable[[], int]:
        """A job for a forked child that goes by this clock. ahead: how wrong the PC's is."""

        def work() -> int:
            time.time = lambda: self.now() + ahead
            return job()

        return work

    def on_the_server(self, job: Callable[[], int]) -> Callable[[], int]:
        """The same, where files have the times of this clock, too."""

        def work() -> int:
            time.time = self.now
            for name in ("stat", "lstat", "fstat"):
                setattr(os, name, self._looking(getattr(os, name)))
            scan = os.scandir
            os.scandir = lambda *where: _Scan(scan(*where), self)  # type: ignore[assignment]
            return job()

        return work

    def _looking(self, look: Callable[..., os.stat_result]) -> Callable[..., os.stat_result]:
        return lambda *args, **options: self.status(look(*args, **options))

    def status(self, real: os.stat_result) -> os.stat_result:
        """What stat says of a file, by this clock."""
        values = {name: getattr(real, name) for name in dir(real) if name.startswith("st_")}
        for each in _TIMES:
            at = self.of(values[f"st_{each}"])
            values.update({f"st_{each}": at, f"st_{each}_ns": int(at * 10**9)})
        return os.stat_result([*real[:7], *(int(values[f"st_{n}"]) for n in _TIMES)], values)


class _Scan:
    """A directory's entries, by this clock."""

    def __init__(self, entries: Any, clock: Clock) -> None:
        self._entries, self._clock = entries, clock

    def __iter__(self) -> Iterator[_Entry]:
        return (_Entry(each, self._clock) for each in self._entries)

    def __enter__(self) -> _Scan:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._entries.close()


class _Entry:
    """One of them."""

    def __init__(self, entry: os.DirEntry[str], clock: Clock) -> None:
        self._entry, self._clock = entry, clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._entry, name)

    def __fspath__(self) -> str:
        return self._entry.path

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        return self._clock.status(self._entry.stat(follow_symlinks=follow_symlinks))
