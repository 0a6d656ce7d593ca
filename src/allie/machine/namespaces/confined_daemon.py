"""Give a forked child processes of its own, and a view of few files: for what answers the network.

Whoever finds a fault in rsync's daemon then has what it needs to do its work, and no more. Not for
an ordinary tick: loading it costs (HACKING.md, start-up).
"""

from __future__ import annotations

import os
import signal
from _collections_abc import Callable

from allie.core.errors import StateError
from allie.core.lean import all_now
from allie.core.value import Value
from allie.machine import libc
from allie.machine.files import atomic
from allie.machine.mounts import mount_call, mount_table
from allie.machine.mounts.mount_call import BIND, NODEV, NOEXEC, NOSUID, RDONLY, REC, REMOUNT
from allie.machine.programs import process
from allie.machine.programs.lifeline import Lifeline

all_now()  # where we go there are modules, too, and none of them is ours
_PDEATHSIG = 1  # linux/prctl.h
_AT = "/run/allie"  # what is mounted there, in a namespace of the daemon's, becomes its root
_PROGRAMS = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
_TEXTS = ("ld.so.cache", "localtime", "passwd", "group", "nsswitch.conf", "resolv.conf", "hosts")
_DEVICES = ("null", "random", "urandom", "log")
SCRATCH = "/run"  # in a view: a small directory in memory, the only one that can be written


class View(Value):
    """What a confined daemon sees beside the system's programs and libraries, at the same paths."""

    program: str  # the daemon's own, wherever it is
    shown: tuple[str, ...]  # directories, with what is mounted in them
    texts: tuple[tuple[str, str], ...] = ()  # files: (path, content)
    programs: tuple[str, ...] = ()  # directories with more programs and libraries
    written: tuple[str, ...] = ()  # directories in which it may write
    made: tuple[str, ...] = ()  # empty directories, below SCRATCH


def fork_first(work: Callable[[], int], streams: tuple[int | None, int, int]) -> int:
    """Fork a child that ends with us together with all that it forks; its pid.

    It is the first process of a pid namespace: when it ends the kernel ends all others in it, and
    when we end it ends, however that comes. Where there can be none (not root, a container), its
    process group stands in for the namespace. For a child that lasts as long as we do.
    """
    lifeline = Lifeline()

    def first() -> int:
        libc.call("prctl", _PDEATHSIG, signal.SIGKILL)
        lifeline.tie_ourselves()  # ends us if our parent ended before it came to that
        return work()

    own = _own_pids()
    try:
        return process.fork(first, streams, keep=[lifeline.theirs], dies_with_us=False)
    finally:
        if own is not None:
            libc.call("setns", own, mount_call.NEWPID)
            os.close(own)


def _own_pids() -> int | None:
    """Have the next child be the first of a pid namespace; None where that cannot be.

    What is returned leads back: else every later child would be in that namespace, too.
    """
    own = None
    try:
        own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        libc.call("unshare", mount_call.NEWPID)
        return own
    except OSError:
        if own is not None:
            os.close(own)
        return None


def see_only(view: View) -> None:
    """In a forked child: from now on see what `view` shows, read-only, and nothing else.

    What is mounted in its directories later is seen, too, where the system shares its mounts, as
    under systemd; not read-only, if it was not mounted so. Raises StateError or OSError where the
    kernel does not let us; then we see what everybody sees.
    """
    libc.call("unshare", mount_call.NEWNS)
    mount_call.need("none", "/", "", REC | mount_call.SLAVE)
    os.makedirs(_AT, 0o755, exist_ok=True)
    # What is shown may lie below the very place that is mounted over next.
    own = () if view.program.split("/")[1] in _PROGRAMS else (os.path.dirname(view.program),)
    programs = [(path, _kept_open(path)) for path in (*own, *view.programs)]
    shown = [(path, _kept_open(path)) for path in view.shown if os.path.isdir(path)]
    written = [(path, _kept_open(path)) for path in view.written]
    flags = NOSUID | NODEV | NOEXEC
    mount_call.need("tmpfs", _AT, "tmpfs", flags, "mode=0755,size=16m")
    scratch = _AT + SCRATCH
    os.mkdir(scratch)
    mount_call.need("tmpfs", scratch, "tmpfs", flags, "mode=0700,size=1m")
    for name in _PROGRAMS:
        _show_program_directory(name)
    for path, source in programs:
        _show(path, NOSUID | NODEV, source)
    for path, source in shown:
        _show(path, flags, source)
    for path, source in written:
        _show(path, flags, source, access=0)
    _make_files(view)
    mount_call.need("none", _AT, "", BIND | REMOUNT | RDONLY | flags)
    os.chdir(_AT)
    mount_call.need(".", "/", "", mount_call.MOVE)
    os.chroot(".")
    os.chdir("/")


def _make_files(view: View) -> None:
    """Make what is not shown as it is, but is in the view all the same."""
    for path in view.made:
        os.makedirs(_AT + path, 0o755)
    for name in _TEXTS:
        text = atomic.read_bytes(os.path.realpath(f"/etc/{name}"))
        if text is not None:
            _write(f"/etc/{name}", text)
    for name in _DEVICES:
        _show_device(f"/dev/{name}")
    for path, content in view.texts:
        _write(path, content.encode(errors="surrogateescape"))


def _show_program_directory(name: str) -> None:
    if os.path.islink(f"/{name}"):
        os.symlink(os.readlink(f"/{name}"), f"{_AT}/{name}")
    elif os.path.isdir(f"/{name}"):
        _show(f"/{name}", NOSUID | NODEV)


def _kept_open(path: str) -> int:
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _show(path: str, flags: int, source: int | None = None, access: int = RDONLY) -> None:
    """Bind a directory into the view, with all in it. source: it, kept open. access: 0 to write."""
    at = _AT + path
    os.makedirs(at, exist_ok=True)
    way = path if source is None else f"/proc/self/fd/{source}"
    mount_call.need(way, at, "", BIND | REC)
    for point in mount_table.points():
        if point == at or point.startswith(f"{at}/"):
            done = mount_call.mount("none", point, "", BIND | REMOUNT | access | flags)
            if not done and not mount_call.unmount(point):
                raise StateError(f"cannot mount {point}: {libc.last_error()}")


def _show_device(path: str) -> None:
    real = os.path.realpath(path)  # /dev/log leads to the journal's socket
    if os.path.exists(real):
        _write(path, b"")
        mount_call.mount(real, _AT + path, "", BIND)


def _write(path: str, content: bytes) -> None:
    os.makedirs(os.path.dirname(_AT + path), exist_ok=True)
    with open(_AT + path, "wb") as file:
        file.write(content)
