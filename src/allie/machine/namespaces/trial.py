"""Try a program that may be broken in any way: it ends in time, and nothing of it lives on.

    tick ── supervisor ── init ── the program ── what it starts
            the clock     └────── a pid namespace ───────────┘

The program may hang, print without end, eat memory, deafen itself to signals, or leave daemons in
sessions of their own. So it runs in a pid namespace whose first process is ours: when that one
goes, the kernel ends every process of the namespace. It has no network and no capability but to
read and write files, and is what the kernel ends first where memory runs out. Where there are no
namespaces to be had (not root, some containers), the supervisor adopts what the program leaves
behind, and ends that.

Not bounded: how many processes it starts at once. What it writes into files stays.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import sys
import time
from _collections_abc import Sequence

from allie.core.errors import AllieError
from allie.core.value import Value
from allie.machine import libc
from allie.machine.mounts.mount_call import NEWIPC, NEWNET, NEWPID
from allie.machine.namespaces import confined_daemon
from allie.machine.programs import background, capabilities, process, process_groups

_PDEATHSIG, _SUBREAPER = 1, 36  # linux/prctl.h
_LEAST_MEMORY = 512 << 20
_LARGEST_FILE = 64 << 20
_LOOK = 50  # milliseconds
_PYTHON = "/usr/bin/python3"
_LATE, _LOUD = 3, 4  # the supervisor's exit status


class Tried(Value):
    """How a trial ended."""

    code: int  # exit status; -1: we ended it
    out: bytes  # what it printed on either output, as far as it was taken
    why: str = ""  # why we ended it

    def last_words(self) -> str:
        """Why we ended it, else the last line that it printed, at most 200 letters of it."""
        lines = [each for each in self.out.decode(errors="replace").splitlines() if each.strip()]
        return self.why or (lines[-1].strip()[:200] if lines else f"it ended with {self.code}")


def run(argv: Sequence[str], *, seconds: float, most: int, only: str = "") -> Tried:
    """Run a program for `seconds` at most, and take `most` bytes of what it prints.

    only: a directory. Of this machine the program then sees that and its interpreter, and can
    change neither: it is another system's, and its root may have made it what it is.
    """
    read, write = os.pipe()
    pid = process.fork(lambda: _supervise(argv, seconds, most, only), (None, write, write))
    os.close(write)
    pieces = []
    while piece := os.read(read, 65536):
        pieces.append(piece)
    os.close(read)
    out, code = b"".join(pieces), process.wait(pid)
    whys = {_LATE: f"it did not end within {seconds:.0f} s", _LOUD: "it prints without end"}
    if code:
        number, _, rest = out.partition(b"\n")
        return Tried(-1 if code in whys else int(number), rest, whys.get(code, ""))
    return Tried(0, out.partition(b"\n")[2])


def _supervise(argv: Sequence[str], seconds: float, most: int, only: str) -> int:
    """In a process of its own: start it, follow it, end it; print its status and output."""
    process.cut_loose()
    read, write = os.pipe()
    start = _init if _contain() else _become
    end, streams = int(seconds) + 1, (None, write, write)
    first = process.fork(lambda: start(argv, end, only), streams, dies_with_us=False)
    os.close(write)
    verdict, out = _follow(first, read, time.monotonic() + seconds, most)
    os.kill(first, signal.SIGKILL)  # and with the first of a namespace all others
    code = process.wait(first)
    _end_adopted()
    os.close(read)
    with os.fdopen(1, "wb") as to:
        to.write(b"%d\n" % code + out)
    return verdict or (1 if code else 0)


def _interpreter() -> tuple[str, ...]:
    """Where Python lives, if it is not among the system's own programs."""
    places = {os.path.dirname(os.path.realpath(sys.executable)), sys.prefix, sys.base_prefix}
    own = sorted(place for place in places if not f"{place}/".startswith("/usr/"))
    return tuple(
        place
        for place in own
        if not any(place != each and place.startswith(f"{each}/") for each in own)
    )


def _contain() -> bool:
    """Have what we fork next be alone in its namespaces; else adopt what it leaves behind."""
    for flags in (NEWPID | NEWNET | NEWIPC, NEWPID):
        try:
            libc.call("unshare", flags)
            return True
        except OSError:
            continue
    libc.call("prctl", _SUBREAPER, 1)
    return False


def _init(argv: Sequence[str], seconds: int, only: str) -> int:
    """Be the namespace's first process: start the program, and end with it."""
    libc.call("prctl", _PDEATHSIG, signal.SIGKILL)
    program = process.fork(lambda: _become(argv, seconds, only), (0, 1, 2), dies_with_us=False)
    return process_groups.be_init(program)


def _become(argv: Sequence[str], seconds: int, only: str) -> int:
    """Give away what the program does not need, and become it."""
    libc.call("prctl", _PDEATHSIG, signal.SIGKILL)
    os.umask(0o022)
    _ordinary_priority()
    memory = max(_LEAST_MEMORY, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 4096)
    for kind, most in (
        (resource.RLIMIT_AS, memory),  # four times what we needed ourselves
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, _LARGEST_FILE),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (least, least))
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as score:
            score.write("1000")
    except OSError:
        pass  # no such file, as in a chroot without /proc
    # A client in an overlay may be anybody's file; in another system's tree only what all may read
    # is read.
    capabilities.keep_only(*([] if only else [capabilities.DAC_OVERRIDE]))
    if only:
        try:
            confined_daemon.see_only(
                confined_daemon.View(_PYTHON, (only,), programs=_interpreter())
            )
        except (AllieError, OSError) as error:
            os.write(1, f"it cannot be tried apart from this system: {error}\n".encode())
            return 1
    return process.execute(argv, process.environment())


def _ordinary_priority() -> None:
    """A tick runs low: on a busy PC a good program would not get its second of work in time."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, 0)
        background.set_io_priority(background.BEST_EFFORT)
    except OSError:
        pass  # not root


def _follow(pid: int, read: int, deadline: float, most: int) -> tuple[int, bytes]:
    """Take what it prints until it has ended or must be: (why it must be, what it printed)."""
    out = b""
    ended = 0.0  # when we saw that it had
    poll = select.poll()
    poll.register(read, select.POLLIN)
    while True:
        now = time.monotonic()
        if not ended and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            ended = now
        if now >= deadline and not ended:
            return _LATE, out
        ready = poll.poll(0 if ended else _LOOK)
        data = os.read(read, 65536) if ready else b""
        if ready and not data:
            poll.unregister(read)
        out += data[: most - len(out) + 1]
        if len(out) > most:
            return _LOUD, out[:most]
        if ended and not data:
            return 0, out


def _end_adopted() -> None:
    """End all that the program left behind, and what that starts meanwhile.

    That none is left, waitpid(2) says: /proc, read name by name, may lack the newest.
    """
    for _ in range(1000):
        for pid in _descendants(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass  # it has ended
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return


def _descendants(top: int) -> list[int]:
    """The living processes below one, from /proc."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and process_groups.start_of(int(name)):
            try:
                with open(f"/proc/{name}/stat", "rb") as stat:
                    parent = int(stat.read().rpartition(b")")[2].split()[1])
            except OSError:
                continue  # it has ended
            children.setdefault(parent, []).append(int(name))
    found: list[int] = []
    below = children.get(top, [])
    while below:
        found += below
        below = [each for pid in below for each in children.get(pid, [])]
    return found
