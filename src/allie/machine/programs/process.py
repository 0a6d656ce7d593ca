"""THE door to programs. Nothing else in ALLiE starts one.

argv lists only, never a shell; standard input closed unless given; the environment is built, not
inherited; every child leads a session of its own, and ends with us, and so does all that it has
started. What others make a program say is bounded, and fit for a terminal before it is shown.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from _collections_abc import Callable, Mapping, Sequence

from allie.core.errors import SPOKEN, AllieError
from allie.core.lean import signal
from allie.core.value import Value
from allie.machine import console
from allie.machine.programs import pipes, process_groups, signals
from allie.machine.programs.lifeline import Lifeline
from allie.machine.programs.process_groups import Bounds, Cut

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PASSED_ON = ("TERM", "SSH_AUTH_SOCK", "RSYNC_PASSWORD", "TZ", "HOME")
NOT_FOUND = 127  # the exit status of a program that is not there, as a shell has it
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_WORDS = 500  # characters of what a program complains of: an error is a line, not a book
_FULL = ("No space left on device", "Disk quota exceeded")  # strerror(3), as we set LANG
_forked_by: list[int] = []  # the process that we are to die with, while we need not yet


class Finished(Value):
    """A program that has ended."""

    argv: tuple[str, ...]
    code: int  # exit status; -N: ended by signal N
    out: bytes
    err: bytes  # where it is much, its beginning and its end
    cut: Cut | None = None  # why we ended it

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
        return shown(lines[-1]) if lines else f"{self.argv[0]} ended with {self.code}"


class ProgramFailed(AllieError):
    """A program that had to succeed did not."""

    def __init__(self, finished: Finished) -> None:
        super().__init__(finished.last_words(), f"exit {finished.code}: {finished.command}")
        self.finished = finished


def shown(words: str) -> str:
    """What a program said, for messages: it may only repeat what somebody else made it say.

    >>> shown("no such \\x1b]0;name\\x07")
    'no such \\\\x1b]0;name\\\\x07'
    """
    words = words.strip()
    return console.printable(words[:_WORDS] + "…" * (len(words) > _WORDS))


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment that programs get: a fixed PATH, C.UTF-8, little of ours."""
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {**fixed(), **passed, **(extra or {})}


def fixed() -> dict[str, str]:
    """What is in it whoever calls us; in the tests' PATH their fake programs come first."""
    return {"PATH": os.environ.get("ALLIE_PATH", PATH), "LANG": "C.UTF-8", "HOME": "/root"}


def run(
    argv: Sequence[str],
    *,
    stdin: bytes = b"",
    source: int | None = None,
    bounds: Bounds | None = None,
    on_output: Callable[[bytes], bool | None] | None = None,
    keep: Sequence[int] = (),
    check: bool = False,
    only_reads: bool = False,
    asks: int = 0,
    begun: Callable[[], None] | None = None,
) -> Finished:
    """Run a program to its end and return what it printed.

    source: a descriptor that becomes its standard input, and is closed here. bounds: for a program
    that listens to somebody else, since rsync's own --timeout bounds neither a dead link nor a slow
    one. It is ended where it goes beyond them, or says more than could make sense, and nothing of
    it is left when this returns. on_output: given what it prints, as it comes; that is then not
    kept, since the progress of a million files is a hundred megabytes; it returns True where that
    was enough, and the program is ended. keep: descriptors that it inherits. asks: with bounds, a
    signal by which it is asked for output every second. only_reads: it changes nothing, or not
    before it has read `stdin`: it is then started by `spawn`. begun: done once it runs, before it
    is listened to. Raises ProgramFailed with check, where it did not exit 0.
    """
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    in_read, in_write = os.pipe()
    if source is not None:
        os.dup2(source, in_read, inheritable=False)
        os.close(source)
    argv = [_by_our_descriptors(each) for each in argv]
    pid, lifeline = _start(argv, (in_read, out_write, err_write), keep, only_reads)
    watch = process_groups.Watch(pid, bounds, asks)
    try:
        if begun:
            begun()
        ends = (in_write, out_read, err_read)
        out, err = pipes.converse(watch, ends, stdin, on_output)
    except BaseException:
        process_groups.end(pid)
        raise
    finally:
        code = wait(pid)
        lifeline.cut() if bounds else lifeline.let_go()
    err = err.replace(f"/proc/{os.getpid()}/fd/".encode(), b"/proc/self/fd/")
    finished = Finished(tuple(argv), code, out, err, watch.cut)
    if check and finished.code != 0:
        raise ProgramFailed(finished)
    return finished


def _start(
    argv: Sequence[str], streams: tuple[int, int, int], keep: Sequence[int], only_reads: bool
) -> tuple[int, Lifeline]:
    """Start a program on these streams, and close them: its pid, and what ends it with us."""
    lifeline = Lifeline()
    path = program(argv[0]) if only_reads else ""
    if path:
        pid = spawn([path, *argv[1:]], environment(), streams, (*keep, lifeline.theirs))
        lifeline.tie(pid)  # killed before that, we leave it to its closed pipes
    else:
        pid = fork(lambda: _become(argv, lifeline), streams, keep=(*keep, lifeline.theirs))
    for descriptor in streams:
        os.close(descriptor)
    return pid, lifeline


def _become(argv: Sequence[str], lifeline: Lifeline) -> int:
    lifeline.tie(os.getpid())
    return execute(argv, environment())


def _by_our_descriptors(argument: str) -> str:
    """An argument that names a path in a directory kept open by us, as another process sees it."""
    for path in SPOKEN:
        argument = argument.replace(f"{path}/", path.replace("self", str(os.getpid())) + "/")
    return argument


def spawn(
    argv: Sequence[str], env: Mapping[str, str], streams: Sequence[int], keep: Sequence[int] = ()
) -> int:
    """Start a program, by its path, without copying this process, which saves 3 ms; its pid.

    It leads its own session, and goes on without us. Raises OSError where it cannot be started.
    """
    for descriptor in keep:
        os.set_inheritable(descriptor, True)
    to = [(os.POSIX_SPAWN_DUP2, each, number) for number, each in enumerate(streams)]
    reset = signals.changed()
    return os.posix_spawn(
        argv[0], list(argv), env, file_actions=to, setsid=True, setsigdef=reset, setsigmask=()
    )


def fork(
    work: Callable[[], int],
    streams: tuple[int | None, int | None, int | None],
    *,
    keep: Sequence[int] = (),
    dies_with_us: bool | None = True,
) -> int:
    """Run `work` in a forked child, which leads its own session; return its pid.

    Its exit status is what `work` returns; an exception that gets out is printed as one line, exit
    2. streams: its stdin, stdout and stderr; None is /dev/null. dies_with_us: False for what may go
    on without us; None: not before something is to be changed (`die_with_parent`).
    """
    parent = os.getpid()
    if dies_with_us:
        die_with_parent()
        from allie.machine import libc  # noqa: F401, PLC0415 - once, and not in each child
    sys.stdout.flush()
    sys.stderr.flush()
    pid = signals.held_back(os.fork)
    if pid:
        return pid
    code = 2
    try:
        os.setsid()
        _forked_by[:] = [] if dies_with_us is False else [parent]
        if dies_with_us:
            die_with_parent()
        for target, descriptor in enumerate(streams):
            os.dup2(os.open(os.devnull, os.O_RDWR) if descriptor is None else descriptor, target)
        for descriptor in keep:
            os.set_inheritable(descriptor, True)
        signals.renew()
        code = work()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException as error:  # nothing may unwind into the parent's code
        words = console.printable(f"allie: {str(error) or type(error).__name__}")
        os.write(2, f"{words}\n".encode())
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
        os.write(2, f"{console.printable(_not_found(argv[0]))}\n".encode())
        return NOT_FOUND
    except OSError as error:
        if error.errno == errno.ENOEXEC:  # no #! line: as a shell would run it
            os.execve("/bin/sh", ["/bin/sh", *argv], dict(env))
        os.write(2, f"{argv[0]}: cannot be executed: {error.strerror}\n".encode())
        return 126


def _not_found(program: str) -> str:
    """Why a program could not be started, in words: it is missing, or what its first line names."""
    try:
        with open(program, "rb") as file:
            first = file.readline(_WORDS).rstrip(b"\n")
    except OSError:
        return f"{program}: not found" + " (lines that end as on Windows?)" * program.endswith("\r")
    if not first.startswith(b"#!"):
        return f"{program}: the loader that it names is not here: made for another system?"
    interpreter = os.fsdecode(first[2:].strip(b" \t"))
    if interpreter.endswith("\r"):
        return f"{program}: its lines end as on Windows (CRLF), and there is no {interpreter}"
    return f"{program}: its first line is #!{interpreter}, and that is not here"


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
    return bool(program(name))


def program(name: str) -> str:
    """Where a program of this name is; "" if it is nowhere in PATH."""
    if "/" in name:
        return name if os.access(name, os.X_OK) else ""
    places = (f"{place}/{name}" for place in environment()["PATH"].split(":"))
    return next((path for path in places if os.access(path, os.X_OK)), "")


def descriptor_of(pid: int) -> int | None:
    """A descriptor that poll() wakes for when the child ends; None where the kernel has none."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):  # Linux before 5.3, or a libc without it
        return None
