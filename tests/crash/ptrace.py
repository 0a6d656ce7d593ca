"""Stop a tree of processes at the Nth of all its steps, counted over all of them, by ptrace(2).

A *step* is a system call that changes a file system, or starts a program. (strace counts for each
process of its own, so it cannot say "the Nth rename of this tick, whoever does it".) The kernel
hands over only these calls, by a seccomp filter, so all else runs at full speed.

    run = trace(work)              # how many steps are there?
    run = trace(work, 17)          # kill all of them as the 17th is about to be done
    run = trace(work, 17, "top")   # kill only the first process: what do the others do?
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import struct
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Union

from tests.worlds import forked

# x86_64, aarch64 (which lacks the old ones), and which arguments are paths; asm/unistd.h
CALLS: dict[str, tuple[int | None, int | None, tuple[int, ...]]] = {
    "execve": (59, 221, (0,)),
    "rename": (82, None, (0, 1)),
    "renameat": (264, 38, (1, 3)),
    "renameat2": (316, 276, (1, 3)),
    "link": (86, None, (0, 1)),
    "linkat": (265, 37, (1, 3)),
    "symlink": (88, None, (0, 1)),
    "symlinkat": (266, 36, (0, 2)),
    "unlink": (87, None, (0,)),
    "unlinkat": (263, 35, (1,)),
    "mkdir": (83, None, (0,)),
    "mkdirat": (258, 34, (1,)),
    "rmdir": (84, None, (0,)),
    "mknod": (133, None, (0,)),
    "mknodat": (259, 33, (1,)),
    "open": (2, None, (0,)),
    "openat": (257, 56, (1,)),
    "truncate": (76, 45, (0,)),
    "ftruncate": (77, 46, ()),
    "write": (1, 64, ()),
    "pwrite64": (18, 68, ()),
    "chmod": (90, None, (0,)),
    "fchmod": (91, 52, ()),
    "fchmodat": (268, 53, (1,)),
    "fchmodat2": (452, 452, (1,)),
    "chown": (92, None, (0,)),
    "fchown": (93, 55, ()),
    "lchown": (94, None, (0,)),
    "fchownat": (260, 54, (1,)),
    "utimensat": (280, 88, (1,)),
    "setxattr": (188, 5, (0,)),
    "lsetxattr": (189, 6, (0,)),
    "fsetxattr": (190, 7, ()),
    "mount": (165, 40, (1,)),
    "fsync": (74, 82, ()),
    "syncfs": (306, 267, ()),
}
_BY_DESCRIPTOR = ("write", "pwrite64", "ftruncate", "fchmod", "fchown", "fsetxattr", "fsync")
_CREATES = os.O_CREAT | os.O_TRUNC

# sys/ptrace.h, linux/ptrace.h
_TRACEME, _CONT, _SETOPTIONS, _GETEVENTMSG, _SYSCALL_INFO = 0, 7, 0x4200, 0x4201, 0x420E
_FORK, _VFORK, _CLONE, _EXEC, _SECCOMP, _EXITKILL = 0x2, 0x4, 0x8, 0x10, 0x80, 0x100000
_EVENT_SECCOMP = 7
_WALL = 0x40000000
# linux/prctl.h, linux/filter.h, linux/seccomp.h
_NO_NEW_PRIVS, _SET_SECCOMP, _SUBREAPER, _FILTER = 38, 22, 36, 2
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_RET_ALLOW, _RET_TRACE = 0x7FFF0000, 0x7FF00000
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long

Victim = Union[str, Callable[[], None]]


class Traced(NamedTuple):
    """How a traced run went."""

    steps: list[str]  # one a step: `call path`
    code: int  # of the first process: its exit status, or -N
    out: str
    lingered: float  # seconds from the kill to the end of the last process


def trace(
    work: Callable[[], int],
    kill_at: int = 0,
    victim: Victim = "all",
    below: Path | None = None,
    first: Callable[[], None] | None = None,
) -> Traced:
    """Run `work` in a forked child, and kill at the Nth step (0: never).

    victim: "all" processes, the "top" one, the "caller" of that step, or something to be done
    instead (and the run goes on). below: writes count only to files below this directory.
    first: what is done right before the kill.
    Returns when all processes have ended.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as log:
        tracer = os.fork()  # of its own, so that it can wait for whatever child there is
        if not tracer:
            try:
                at_work = _Tracer(kill_at, victim, str(below or "/"), log.fileno(), first)
                code = at_work.run(work, output)
                lingered = time.monotonic() - at_work.struck if at_work.struck else 0.0
                os.write(log.fileno(), b"%d\0%f" % (code, lingered))
                os._exit(0)
            except BaseException:
                os.write(2, traceback.format_exc().encode())
            finally:
                os._exit(1)
        assert os.waitpid(tracer, 0)[1] == 0, "the tracer failed"
        log.seek(0)
        *steps, code_text, lingered_text = log.read().decode(errors="backslashreplace").split("\0")
        output.seek(0)
        said = output.read().decode(errors="replace")
        return Traced(steps, int(code_text), said, float(lingered_text))


def works() -> bool:
    """Whether this machine lets us trace."""
    if platform.machine() not in ("x86_64", "aarch64"):
        return False
    pid = os.fork()
    if not pid:
        os._exit(0 if _libc.ptrace(_TRACEME, 0, None, None) == 0 else 1)
    return os.waitpid(pid, 0)[1] == 0


class _Tracer:
    def __init__(
        self,
        kill_at: int,
        victim: Victim,
        below: str,
        log: int,
        first: Callable[[], None] | None,
    ) -> None:
        self.first = first
        self.kill_at = kill_at
        self.victim = victim
        self.below = below
        self.log = log
        self.count = 0
        self.top = 0
        self.code = 0
        self.alive: set[int] = set()
        self.killing = False
        self.struck = 0.0

    def run(self, work: Callable[[], int], output: object) -> int:
        _libc.prctl(_SUBREAPER, 1, 0, 0, 0)
        self.top = os.fork()
        if not self.top:
            _libc.ptrace(_TRACEME, 0, None, None)
            os.kill(os.getpid(), signal.SIGSTOP)
            os.setsid()
            _install_filter()
            forked.become(work, output.fileno())  # type: ignore[attr-defined]
        os.waitpid(self.top, 0)
        options = _FORK | _VFORK | _CLONE | _EXEC | _SECCOMP | _EXITKILL
        _libc.ptrace(_SETOPTIONS, self.top, None, options)
        self.alive = {self.top}
        _libc.ptrace(_CONT, self.top, None, None)
        while True:
            try:
                pid, status = os.waitpid(-1, _WALL)
            except ChildProcessError:
                return self.code
            self.met(pid, status)

    def met(self, pid: int, status: int) -> None:
        """One process stopped or ended."""
        if not os.WIFSTOPPED(status):
            self.alive.discard(pid)
            if pid == self.top:
                self.code = os.waitstatus_to_exitcode(status)
            return
        new = pid not in self.alive
        self.alive.add(pid)
        event, number = status >> 16, os.WSTOPSIG(status)
        if self.killing and self.victim == "all":
            _kill(pid)
            return
        if event == _EVENT_SECCOMP and self.is_step(pid):
            self.count += 1
            if self.count == self.kill_at:
                self.strike(pid)
        hand_on = 0 if event or (new and number == signal.SIGSTOP) else number
        _libc.ptrace(_CONT, pid, None, hand_on)

    def strike(self, caller: int) -> None:
        if self.first:
            self.first()
        if callable(self.victim):
            self.victim()
            return
        self.killing = True
        self.struck = time.monotonic()
        for pid in {"all": self.alive, "top": {self.top}, "caller": {caller}}[self.victim]:
            _kill(pid)

    def is_step(self, pid: int) -> bool:
        """Whether this call counts; if so, note it."""
        index = ctypes.c_ulong()
        _libc.ptrace(_GETEVENTMSG, pid, None, ctypes.addressof(index))
        name = list(CALLS)[index.value]
        buffer = ctypes.create_string_buffer(128)
        _libc.ptrace(_SYSCALL_INFO, pid, len(buffer), ctypes.addressof(buffer))
        args = struct.unpack_from("<7Q", buffer.raw, 24)[1:]  # after op, arch, ip, sp: nr, args
        if name in _BY_DESCRIPTOR:
            try:
                path = os.readlink(f"/proc/{pid}/fd/{args[0]}")
            except OSError:
                return False
            if not path.startswith(self.below):
                return False  # a pipe, a socket, the log of the test
            said = [path]
        else:
            said = [_text(pid, args[place]) for place in CALLS[name][2]]
        words = f"{name} {' '.join(said)}".replace("\0", "")
        os.write(self.log, words.encode(errors="backslashreplace") + b"\0")
        return True


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _text(pid: int, address: int) -> str:
    try:
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            memory.seek(address)
            return memory.read(1024).partition(b"\0")[0].decode(errors="backslashreplace")
    except (OSError, ValueError, OverflowError):
        return "?"


def _install_filter() -> None:
    """In the child: hand CALLS over to the tracer, with their place in it as data."""
    column = 0 if platform.machine() == "x86_64" else 1
    code: list[tuple[int, int, int, int]] = [(_LOAD, 0, 0, 0)]  # seccomp_data.nr
    for index, (name, row) in enumerate(CALLS.items()):
        number = row[0] if column == 0 else row[1]
        if number is None:
            continue
        traced = (_RETURN, 0, 0, _RET_TRACE | index)
        if name in ("open", "openat"):
            flags = 16 + 8 * (1 if name == "open" else 2)  # seccomp_data.args[…], low half
            code += [
                (_EQUAL, 0, 4, number),
                (_LOAD, 0, 0, flags),
                (_ANY_BIT, 0, 1, _CREATES),
                traced,
                (_RETURN, 0, 0, _RET_ALLOW),
            ]
        else:
            code += [(_EQUAL, 0, 1, number), traced]
    code.append((_RETURN, 0, 0, _RET_ALLOW))
    packed = b"".join(struct.pack("<HBBI", *each) for each in code)
    body = ctypes.create_string_buffer(packed)
    program = struct.pack("<H6xQ", len(code), ctypes.addressof(body))
    holder = ctypes.create_string_buffer(program)
    _libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    if _libc.prctl(_SET_SECCOMP, _FILTER, ctypes.c_void_p(ctypes.addressof(holder)), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")
