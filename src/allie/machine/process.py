"""THE door to programs. Nothing else in ALLiE starts one.

argv lists only, never a shell; standard input closed unless given; the environment is built, not
inherited; every child leads a session of its own, so that it can be ended with all that it started,
and dies with us, so that a kill -9 of ALLiE leaves no rsync at work.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from allie.core.errors import SPOKEN, AllieError
from allie.core.value import Value
from allie.machine import groups

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PASSED_ON = ("TERM", "SSH_AUTH_SOCK", "RSYNC_PASSWORD", "TZ")
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_FULL = ("No space left on device", "Disk quota exceeded")  # strerror(3), as we set LANG
_forked_by: list[int] = []  # the process that we are to die with, while we need not yet


class Finished(Value):
    """A program that has ended."""

    argv: tuple[str, ...]
    code: int  # exit status; -N: ended by signal N
    out: bytes
    err: bytes
    stalled: bool = False  # we ended it, since it made no progress

    @property
    def command(self) -> str:
        """The command as a line that can be pasted."""
        import shlex  # noqa: PLC0415 - see HACKING.md, start-up

        return shlex.join(self.argv)

    @property
    def full_disk(self) -> str:
        """The line in which it says that a disk is full; "" if it does not."""
        lines = self.err.decode(errors="replace").splitlines()
        return next((line for line in lines if any(each in line for each in _FULL)), "")

    def last_words(self) -> str:
        """The last line of standard error that says something, else how it ended."""
        lines = [line for line in self.err.decode(errors="replace").splitlines() if line.strip()]
        return lines[-1].strip() if lines else f"{self.argv[0]} ended with {self.code}"


class ProgramFailed(AllieError):
    """A program that had to succeed did not."""

    def __init__(self, finished: Finished) -> None:
        super().__init__(finished.last_words(), f"exit {finished.code}: {finished.command}")
        self.finished = finished


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment that programs get: a fixed PATH, C.UTF-8, little of ours."""
    env = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    path = os.environ.get("ALLIE_PATH", PATH)  # the tests' fake programs come first in it
    env.update(PATH=path, LANG="C.UTF-8", HOME=os.environ.get("HOME", "/root"))
    env.update(extra or {})
    return env


def run(
    argv: Sequence[str],
    *,
    stdin: bytes = b"",
    stall: float | None = None,
    on_output: Callable[[bytes], bool | None] | None = None,
    keep: Sequence[int] = (),
    check: bool = False,
    only_reads: bool = False,
    asks: int = 0,
) -> Finished:
    """Run a program to its end and return what it printed.

    stall: seconds without a byte read by any of its processes after which it is ended (rsync's
    own --timeout does not bound a dead link). on_output: given what it prints, as it comes; that is
    then not kept, since the progress of a million files is a hundred megabytes; it returns True
    where that was enough, and the program is ended. keep: descriptors that it inherits. asks: with
    stall, a signal by which it is asked for output every second. only_reads: it may outlive us,
    since it changes nothing; it is then started without copying this process, which saves 3 ms.
    Raises ProgramFailed with check, where it did not exit 0.
    """
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    in_read, in_write = os.pipe()
    streams = (in_read, out_write, err_write)
    argv = [_by_our_descriptors(each) for each in argv]
    if only_reads and has_program(argv[0]):
        pid = _spawn(argv, streams)
    else:
        pid = fork(lambda: execute(argv, environment()), streams, keep=keep)
    for descriptor in streams:
        os.close(descriptor)
    watch = groups.Watch(pid, stall, asks)
    out, err, stalled = _converse(pid, (in_write, out_read, err_read), stdin, on_output, watch)
    err = err.replace(f"/proc/{os.getpid()}/fd/".encode(), b"/proc/self/fd/")
    finished = Finished(tuple(argv), wait(pid), out, err, stalled)
    if check and finished.code != 0:
        raise ProgramFailed(finished)
    return finished


def _by_our_descriptors(argument: str) -> str:
    """An argument that names a path in a directory held open by us, as another process sees it."""
    for path in SPOKEN:
        ours = path.replace("self", str(os.getpid()))
        argument = argument.replace(f"{path}/", f"{ours}/")
    return argument


def by_line(take: Callable[[bytes], bool | None]) -> Callable[[bytes], bool | None]:
    """For `on_output`: hand on what is printed in whole lines (a carriage return ends one, too)."""
    rest = b""

    def follow(output: bytes) -> bool | None:
        nonlocal rest
        output = rest + output
        end = max(output.rfind(b"\n"), output.rfind(b"\r")) + 1
        rest = output[end:]
        return take(output[:end])

    return follow


def _spawn(argv: Sequence[str], streams: tuple[int, int, int]) -> int:
    """Start a program as the leader of its own session; its pid."""
    actions = [(os.POSIX_SPAWN_DUP2, stream, number) for number, stream in enumerate(streams)]
    ours = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)
    return os.posix_spawnp(
        argv[0], list(argv), environment(), file_actions=actions, setsid=True, setsigdef=ours
    )


def fork(
    work: Callable[[], int],
    streams: tuple[int, int, int],
    *,
    keep: Sequence[int] = (),
    dies_with_us: bool | None = True,
) -> int:
    """Run `work` in a forked child with these as stdin, stdout and stderr; return its pid.

    The child leads its own session; its exit status is what `work` returns. An AllieError of its
    own is its caller's to catch; anything that gets out is printed as one line, exit 2.
    dies_with_us: False for what may go on without us, None for a child that says itself from when
    on it may not (`die_with_parent`).
    """
    parent = os.getpid()
    if dies_with_us:
        die_with_parent()
        from allie.machine import libc  # noqa: F401, PLC0415 - once, and not in each child
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 2
    try:
        os.setsid()
        _forked_by[:] = [] if dies_with_us is False else [parent]
        if dies_with_us:
            die_with_parent()
        for target, descriptor in enumerate(streams):
            os.dup2(descriptor, target)
        for descriptor in keep:
            os.set_inheritable(descriptor, True)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        code = work()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException as error:  # nothing may unwind into the parent's code
        os.write(2, f"allie: {error or type(error).__name__}\n".encode(errors="replace"))
    finally:
        os._exit(code)


def die_with_parent() -> None:
    """From now on be killed when the ALLiE that forked us ends: something is about to be changed.

    Whoever starts a program that changes something gets there by itself.
    """
    for parent in _forked_by:
        from allie.machine import libc  # noqa: PLC0415 - see HACKING.md, start-up

        libc.call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(2)
    _forked_by.clear()


def cut_loose() -> None:
    """In a forked process that lives on without an exec: close what one would, such as a lock."""
    _NULL.clear()
    for name in os.listdir("/proc/self/fd"):
        try:
            if not os.get_inheritable(int(name)):
                os.close(int(name))
        except OSError:
            continue  # the listing's own


def execute(argv: Sequence[str], env: Mapping[str, str]) -> int:
    """Replace this (forked) process by a program; 127 or 126 where that cannot be done."""
    try:
        if "/" in argv[0]:
            os.execve(argv[0], list(argv), dict(env))
        os.execvpe(argv[0], list(argv), dict(env))
    except FileNotFoundError:
        os.write(2, f"{argv[0]}: not found, or its interpreter is not\n".encode())
        return 127
    except OSError as error:
        if error.errno == errno.ENOEXEC:  # no #! line: as a shell would run it
            os.execve("/bin/sh", ["/bin/sh", *argv], dict(env))
        os.write(2, f"{argv[0]}: cannot be executed: {error.strerror}\n".encode())
        return 126


def wait(pid: int) -> int:
    """Wait for a child's end: its exit status, or -N where signal N ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def wait_until(pid: int, deadline: float) -> int | None:
    """Whether the child has ended by `deadline` (time.monotonic); its code, or None."""
    pause = 0.001
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= deadline:
            return None
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def has_program(name: str) -> bool:
    """Whether a program of this name is in PATH."""
    return any(os.access(f"{place}/{name}", os.X_OK) for place in environment()["PATH"].split(":"))


def descriptor_of(pid: int) -> int | None:
    """A descriptor that poll() wakes for when the child ends; None where the kernel has none."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):  # Linux before 5.3, or a libc without it
        return None


def _converse(
    pid: int,
    ends: tuple[int, int, int],
    stdin: bytes,
    on_output: Callable[[bytes], bool | None] | None,
    watch: groups.Watch,
) -> tuple[bytes, bytes, bool]:
    """Feed a child and read it until both its outputs are closed: (stdout, stderr, stalled)."""
    in_write, out_read, err_read = ends
    collected: dict[int, list[bytes]] = {out_read: [], err_read: []}
    poll = select.poll()
    for descriptor in collected:
        poll.register(descriptor, select.POLLIN)
    os.set_blocking(in_write, False)
    poll.register(in_write, select.POLLOUT)
    open_ends = set(collected)
    while open_ends:
        for descriptor, event in poll.poll(groups.LOOK * 1000 if watch.stall else None):
            if descriptor == in_write:
                stdin = _feed(in_write, stdin, event, poll)
                continue
            data = os.read(descriptor, 65536)
            if data and on_output and descriptor == out_read:
                if on_output(data):
                    groups.end(pid)
            elif data:
                collected[descriptor].append(data)
            else:
                poll.unregister(descriptor)
                open_ends.discard(descriptor)
        watch.look()
    for descriptor in ends:
        os.close(descriptor)
    return b"".join(collected[out_read]), b"".join(collected[err_read]), watch.ended


def _feed(in_write: int, stdin: bytes, event: int, poll: select.poll) -> bytes:
    """Write what the child takes; what is left of the input."""
    if stdin and not event & select.POLLERR:
        try:
            stdin = stdin[os.write(in_write, stdin) :]
        except BrokenPipeError:
            stdin = b""
    if not stdin or event & select.POLLERR:
        poll.unregister(in_write)
        os.dup2(_null(), in_write)  # its end of file; the number stays ours to close
    return stdin


_NULL: list[int] = []


def _null() -> int:
    if not _NULL:
        _NULL.append(os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC))
    return _NULL[0]
