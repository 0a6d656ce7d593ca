"""Work that goes on in the background once we have ended, and its priority.

Not for an ordinary tick: loading it costs (HACKING.md, start-up).
"""

from __future__ import annotations

import os
from _collections_abc import Callable

from allie.core.lean import suppress
from allie.machine import libc
from allie.machine.programs import process, signals

_IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "i686": 289, "armv7l": 314, "riscv64": 30}
# linux/ioprio.h: the default class and level; what runs when nothing else wants the disk
BEST_EFFORT, IDLE = (2 << 13) | 4, 3 << 13


def detach(work: Callable[[], int], log: str, *, idle: bool = False) -> None:
    """Run `work` in a process that goes on when we end, and holds nothing of ours; return at once.

    Its output goes to the file `log`. idle: at the lowest priority there is, CPU and disk.
    """

    def alone() -> int:
        process.cut_loose()
        signals.heed()
        if idle:
            os.nice(19)
            set_io_priority(IDLE)
        return work()

    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    out = os.open(log, flags, 0o640)
    process.fork(alone, (None, out, out), dies_with_us=False)
    os.close(out)


def set_io_priority(level: int) -> None:
    """ioprio_set(2) for this process: IDLE or BEST_EFFORT."""
    number = _IOPRIO_SET.get(os.uname().machine)
    if number:
        with suppress(OSError):
            libc.call("syscall", number, 1, 0, level)
