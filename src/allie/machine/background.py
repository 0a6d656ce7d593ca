"""What goes on when we have ended, and how much of the PC it may have.

Not for an ordinary tick: loading it costs (HACKING.md, start-up).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

from allie.machine import process

_IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "i686": 289, "armv7l": 314, "riscv64": 30}
# linux/ioprio.h: the default class and level; what runs when nothing else wants the disk
BEST_EFFORT, IDLE = (2 << 13) | 4, 3 << 13


def detach(work: Callable[[], int], log: str, *, idle: bool = False) -> None:
    """Run `work` in a process that goes on when we end, and holds nothing of ours; return at once.

    Its output goes to the file `log`. idle: at the lowest priority there is, CPU and disk.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return
    code = 2
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        null = os.open("/dev/null", os.O_RDONLY)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        for target, descriptor in enumerate((null, os.open(log, flags, 0o640))):
            os.dup2(descriptor, target)
        os.dup2(1, 2)
        process.cut_loose()
        if idle:
            os.nice(19)
            set_io_priority(IDLE)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        code = work()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException as error:  # nothing may unwind into the parent's code
        os.write(2, f"allie: {error or type(error).__name__}\n".encode(errors="replace"))
    finally:
        os._exit(code)


def set_io_priority(level: int) -> None:
    """ioprio_set(2) for this process: IDLE or BEST_EFFORT."""
    number = _IOPRIO_SET.get(os.uname().machine)
    if number:
        ctypes.CDLL(None).syscall(number, 1, 0, level)
