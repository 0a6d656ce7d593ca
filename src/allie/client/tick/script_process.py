"""Run one conf script: its environment, its log, its end.

A script gets: cwd /, stdin closed, a fixed PATH, HOME=/root, LANG=C.UTF-8, a session of its own,
nice 0, no signal ignored, and ALLIE_SYSTEM ALLIE_HOST ALLIE_CLASSES ALLIE_FETCHED ALLIE_TICK. Its
output goes to a log of at most 1 MB (head and tail). It has ended when its process has, whatever it
left in the background. Who stops the tick stops the script. Where the tick is killed, the script
goes on: a note in /run has the next tick start none beside it.

docs/internals/rules.md, "A script ends with its process".
"""

from __future__ import annotations

import os
import select
import time
from _collections_abc import Mapping

from allie.client.state.script_files import Script
from allie.client.tick.worker import Worker
from allie.core import script as rules
from allie.core.errors import StateError
from allie.core.lean import signal, suppress
from allie.core.system import System
from allie.core.value import Value
from allie.machine import console
from allie.machine.files import atomic
from allie.machine.mounts import fuse_waits
from allie.machine.programs import process, process_groups

_HALF = 500_000  # bytes of a log's head, and of its tail
_DRAIN = 0.2  # seconds in which output that is already on its way is still taken
_LAST_LINES = 5
_LET_GO = 10.0  # seconds that a child has to end after it was killed
_LONGEST_WAIT = 86_400_000.0  # milliseconds: poll(2) takes no timeout of a month


class Ended(Value):
    """How a run ended."""

    code: int  # exit status; -N: ended by signal N
    seconds: float
    last: str  # the last lines of its output
    timed_out: bool = False


def command(script: Script) -> list[str]:
    """How to start a script: itself, or (test mode) what its first line names, else sh."""
    path = f"/root/conf/{script.name}"
    if script.executable:
        return [path]
    first = script.content.partition(b"\n")[0]
    if not first.startswith(b"#!"):
        return ["/bin/sh", path]
    # As the kernel reads it: one argument at most, and a \r at the end belongs to the name.
    words = os.fsdecode(first[2:].strip(b" \t").replace(b"\t", b" ")).split(" ", 1)
    return [*(word.lstrip(" ") for word in words), path]


def run(
    here: System,
    script: Script,
    env: Mapping[str, str],
    timeout: float | None,
    worker: Worker | None = None,
    keep: tuple[int, ...] = (),
    *,
    echo: bool = False,
) -> Ended:
    """Run a script to its end. worker: has its work done by that child, and starts no program.

    timeout in seconds, None for no limit; then its whole process group is ended. echo: also
    show its output as it comes. Raises StateError where its log cannot be written.
    """
    began = time.monotonic()
    log = _Log(here, script.name, echo)
    start = worker.begin if worker else _start
    pid, output = start(here, script, env, keep)
    try:
        deadline = None if timeout is None else began + timeout
        code, timed_out = _follow(pid, output, log, deadline, worker)
    except BaseException:  # whoever stops us stops the script: or the next tick would meet it
        process_groups.end(pid)
        _end_of(pid)
        raise
    finally:
        if not worker:
            os.close(output)
            if not still_running(here, script.name):
                atomic.remove(_mark_path(here, script.name))
        last = log.close()
    return Ended(code, time.monotonic() - began, last, timed_out)


def still_running(here: System, name: str) -> str:
    """A run of this script that outlived a killed tick, in words; "" if there is none."""
    note = (atomic.read(_mark_path(here, name)) or "").split()
    if len(note) == 2 and process_groups.start_of(int(note[0])) == note[1]:
        return f"still running since an earlier tick (pid {note[0]})"
    return ""


def _mark(here: System, name: str, pid: int) -> None:
    """Note that this script runs now, so that no other tick starts it beside us."""
    try:
        os.makedirs(here.run, 0o755, exist_ok=True)
        note = f"{pid} {process_groups.start_of(pid)}\n"
        half = f"{here.run}/script.part"
        atomic.write(_mark_path(here, name), note, durable=False, temporary=half)
    except (OSError, StateError):
        pass  # it only guards against a rare doubling


def _mark_path(here: System, name: str) -> str:
    return f"{here.run}/script-{name}"


def _start(
    here: System, script: Script, env: Mapping[str, str], keep: tuple[int, ...]
) -> tuple[int, int]:
    """Start a script's own program; its pid, and where its output comes from.

    A copy of this process becomes it where that has something to do before: another root to enter,
    a low priority to leave, an odd first line to interpret, or to say why it cannot be started.
    """
    argv, full = command(script), process.environment(env)
    full.update(PATH=process.PATH, HOME="/root")
    output, printed = os.pipe()
    null, pid = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), 0
    if here.is_base:
        os.chdir("/")
    if here.is_base and os.getpriority(os.PRIO_PROCESS, 0) <= 0:
        with suppress(OSError):
            pid = process.spawn(argv, full, (null, printed, printed), keep)
    if not pid:
        if not here.is_base:  # once, and not in each child
            from allie.machine.namespaces import sealed_run  # noqa: F401, PLC0415

        job = lambda: _become(here, script, argv, full)  # noqa: E731
        pid = process.fork(job, (null, printed, printed), keep=keep, dies_with_us=False)
    os.close(printed)
    os.close(null)
    _mark(here, script.name, pid)
    return pid, output


def _become(here: System, script: Script, argv: list[str], env: dict[str, str]) -> int:
    """In the child: turn into the script."""
    _ordinary_priority()
    if not here.is_base:
        from allie.machine.namespaces import sealed_run  # noqa: PLC0415 - see HACKING.md, start-up

        offline = {**env, "ALLIE_OFFLINE": "1", "SYSTEMD_OFFLINE": "1"}
        needs = rules.parse_headers(script.content).needs
        return sealed_run.execute(here.root, env.get("ALLIE_HOST", ""), argv, offline, needs)
    return process.execute(argv, env)


def _ordinary_priority() -> None:
    """The tick runs low; what a script restarts shall not inherit that."""
    try:
        if os.getpriority(os.PRIO_PROCESS, 0) > 0:
            os.setpriority(os.PRIO_PROCESS, 0, 0)
            from allie.machine.programs import background  # noqa: PLC0415 - see HACKING.md, start-up

            background.set_io_priority(background.BEST_EFFORT)
    except OSError:
        pass  # not root


def _follow(
    pid: int, output: int, log: _Log, deadline: float | None, worker: Worker | None
) -> tuple[int, bool]:
    """Read a script's output until it is done, or its process ends: (code, was its time up?)."""
    watch = fuse_waits.StuckWatch(pid) if worker else None
    poll = select.poll()
    poll.register(output, select.POLLIN)
    if worker:
        poll.register(worker.results, select.POLLIN)
    pidfd = process.descriptor_of(pid)
    if pidfd is not None:
        poll.register(pidfd, select.POLLIN)
    code: int | None = None
    timed_out = ended = False
    while code is None:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        pause = 100.0 if pidfd is None else fuse_waits.LOOK * 1000 if watch else None
        waits = [each for each in (pause, None if left is None else left * 1000 + 1) if each]
        wait = min([*waits, _LONGEST_WAIT])
        for descriptor, _ in poll.poll(wait):
            if descriptor == output and not log.take(output):
                poll.unregister(output)
                ended = True
            if worker and descriptor == worker.results:
                code = worker.result()
                poll.unregister(descriptor)
        code = process.wait_until(pid, 0.0) if code is None else code
        if code is None and watch:
            watch.look(time.monotonic())
        if code is None and deadline is not None and time.monotonic() >= deadline:
            process_groups.end(pid)
            code, timed_out = _end_of(pid), True
    if pidfd is not None:
        poll.unregister(pidfd)
        os.close(pidfd)
    # All that a worker says is on its way already, and then nothing more comes
    until = time.monotonic() + (0.0 if worker else _DRAIN)
    while not ended and poll.poll(max(0.0, until - time.monotonic()) * 1000):
        ended = not log.take(output) or time.monotonic() > until
    return code, timed_out


def _end_of(pid: int) -> int:
    """The exit status of a child that was killed; -9 where the kernel does not let it end yet.

    It may hang in a dead disk or network. Then it is left behind, so that the tick, and its lock,
    have an end all the same.
    """
    code = process.wait_until(pid, time.monotonic() + _LET_GO)
    if code is None and fuse_waits.waits(pid):
        fuse_waits.free()
        code = process.wait_until(pid, time.monotonic() + _LET_GO)
    return -signal.SIGKILL if code is None else code


class _Log:
    """A script's output, head and tail, on disk and (echo) on our own output."""

    def __init__(self, here: System, name: str, echo: bool) -> None:
        self.path = f"{here.logs}/{name}.log"
        self.echo = console.Echo() if echo else None
        self.size = 0
        self.tail = b""
        try:
            os.makedirs(here.logs, 0o755, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            flags |= os.O_NONBLOCK  # a fifo planted there is an error, and no wait
            self.descriptor = os.open(self.path, flags, 0o640)
        except OSError as error:
            raise StateError(f"cannot write {self.path}: {error.strerror}") from error

    def take(self, output: int) -> bool:
        """Take what there is to read; False at the end."""
        data = os.read(output, 65536)
        if self.echo and data:
            self.echo.show(data)
        head = data[: max(0, _HALF - self.size)]
        if head:
            self._write(head)
        self.tail = (self.tail + data)[-_HALF:]
        self.size += len(data)
        return bool(data)

    def close(self) -> str:
        """Finish the file; the last lines of what was written."""
        left_out = self.size - 2 * _HALF
        if left_out > 0:
            self._write(f"\n[… {left_out} bytes left out …]\n".encode())
        if self.size > _HALF:
            self._write(self.tail[-min(_HALF, self.size - _HALF) :])
        os.close(self.descriptor)
        if self.echo:
            self.echo.show(b"", last=True)
        lines = self.tail[-4096:].decode(errors="replace").splitlines()
        return "\n".join([line.rstrip() for line in lines if line.strip()][-_LAST_LINES:])

    def _write(self, data: bytes) -> None:
        try:
            os.write(self.descriptor, data)
        except OSError:
            pass  # a full disk: the script's result still counts
