"""One measured run of a program: its CPU, wall time and peak memory, children included.

The program is forked by a small shell and not by this Python: the kernel counts the memory of the
process that forked into the peak of the one that was forked (rsync would look as large as Python).
The shell's child waits at a pipe, so neither the shell's start nor its end is in the figures, nor
is the way into a PC's root: a PC is in its own. What a program leaves running behind is waited for
and counted: none wins by working in the background.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_LAUNCH = 'exec 3<&0; (read -r go <&3; exec "$@" 3<&- </dev/null) >&2 & echo $!'
_PR_SET_CHILD_SUBREAPER = 36
_PATIENCE = 10.0  # seconds for what is left running behind


@dataclass(frozen=True)
class Sample:
    cpu: float  # ms, user and system
    wall: float  # ms
    rss: float  # MB, of the largest process
    status: int  # exit status; minus the signal's number
    late: bool = False  # ended by us, at the limit
    missed: int = 0  # files that were not as they must be afterwards
    round: int = 0  # in which it ran


def adopt_orphans() -> None:
    """Make the grandchildren that lose their parent our children, so that we can wait for them."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def measure(argv: Sequence[str], env: Mapping[str, str], log: Path, limit: float | None) -> Sample:
    """Run a program. `chroot ROOT` before it is where it is run, and is not measured."""
    known = _children()
    way = argv[:2] if argv[0] == "chroot" else []
    with log.open("wb") as file:
        shell = subprocess.Popen(
            [*way, "sh", "-c", _LAUNCH, "sh", *argv[len(way) :]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            env=dict(env),
            cwd="/",
            start_new_session=True,
        )
    assert shell.stdin is not None and shell.stdout is not None
    pid = int(shell.stdout.readline())
    shell.stdout.close()
    shell.wait()
    time.sleep(0.005)  # the child is at its pipe by then
    start = time.perf_counter()
    shell.stdin.write(b"\n")
    shell.stdin.close()
    late = not _ends(pid, limit)
    if late:
        os.killpg(shell.pid, signal.SIGKILL)
    _, raw, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - start
    cpu = usage.ru_utime + usage.ru_stime + _collect(known, late)
    status = os.waitstatus_to_exitcode(raw)
    return Sample(cpu * 1000, wall * 1000, usage.ru_maxrss / 1024, status, late)


def _ends(pid: int, limit: float | None) -> bool:
    """Whether the process ends within the limit; it is left to be waited for."""
    descriptor = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(None if limit is None else limit * 1000))
    finally:
        os.close(descriptor)


def _collect(known: set[int], kill: bool) -> float:
    """Wait for whatever else the run left behind; the CPU seconds of those that ended."""
    spent = 0.0
    deadline = time.monotonic() + _PATIENCE
    while left := _children() - known:
        for pid in left:
            if kill or time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            ended, _, usage = os.wait4(pid, os.WNOHANG)
            if ended:
                spent += usage.ru_utime + usage.ru_stime
        time.sleep(0.002)
    return spent


def _children() -> set[int]:
    pid = os.getpid()
    return {int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
