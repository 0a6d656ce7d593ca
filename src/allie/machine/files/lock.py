"""One tick at a time in each system: flock on its state directory.

A directory's descriptor can be locked on a read-only or full disk, and vanishes with its holder.

docs/internals/rules.md, "One tick at a time".
"""

from __future__ import annotations

import fcntl
import os
import time
from _collections_abc import Callable, Iterator

from allie.core.errors import Busy, StateError
from allie.core.lean import contextmanager, dumps, loads
from allie.core.system import System
from allie.machine.files import atomic

INHERITED = "ALLIE_LOCK_FD"
_GLANCE = 0.1  # seconds


@contextmanager
def held(system: System, verb: str, patience: float = 0) -> Iterator[int]:
    """Hold the system's lock: yields a descriptor. Raises Busy, saying who has it.

    Inside a tick (`pass_on`) nothing is locked again. patience: seconds to wait for its holder.
    """
    make_state(system)
    if is_inside(system):
        yield int(os.environ[INHERITED])
        return
    with of_directory(system.state, lambda: _busy(system), patience=patience) as descriptor:
        _sign(system, verb)
        yield descriptor


@contextmanager
def of_directory(
    path: str, busy: Callable[[], Busy], flags: int = 0, patience: float = 0
) -> Iterator[int]:
    """Hold the lock that a directory is: yields its descriptor. Raises what `busy` makes.

    flags: more of them to open it with. patience: as for `held`.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | flags)
    try:
        if not take(descriptor, patience):
            raise busy()
        try:
            yield descriptor
        finally:
            # A child that hangs in the kernel, and was left behind, has the same open directory.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def pass_on(system: System) -> int:
    """An inheritable descriptor by which a script's own call of ALLiE knows that it is in a tick.

    It is not the locked one: a daemon that a script starts would hold the lock for ever.
    """
    descriptor = os.open(system.state, os.O_RDONLY | os.O_DIRECTORY)
    os.set_inheritable(descriptor, True)
    return descriptor


def is_inside(system: System) -> bool:
    """Whether we were started by the tick that holds this system's lock."""
    text = os.environ.get(INHERITED, "")
    if not text.isdigit():
        return False
    try:
        ours, state = os.fstat(int(text)), os.stat(system.state)
    except OSError:
        return False
    return (ours.st_dev, ours.st_ino) == (state.st_dev, state.st_ino) and is_running(system)


def is_running(system: System) -> bool:
    """Whether a tick is running now; for views, which do not wait for it."""
    return is_taken(system.state)


def is_taken(directory: str) -> bool:
    """Whether somebody holds the lock that a directory is; nobody does where there is none."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)


def take(descriptor: int, patience: float = 0) -> bool:
    """Take the lock; tried for a moment, since a view may just be looking (`is_running`)."""
    until = time.monotonic() + _GLANCE + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(_GLANCE / 10)


def make_state(system: System) -> None:
    """Make the directory of the system's state, if there is none; StateError if that fails."""
    try:
        os.makedirs(system.state, 0o700, exist_ok=True)
    except OSError as error:
        raise StateError(f"cannot make {system.state}: {error.strerror}") from error


def _sign(system: System, verb: str) -> None:
    """Say who holds the lock; best effort, for the message alone."""
    note = {"pid": os.getpid(), "verb": verb, "start": int(time.time())}
    try:
        os.makedirs(system.run, 0o755, exist_ok=True)
        atomic.write(f"{system.run}/holder", dumps(note), durable=False)
    except (OSError, StateError):
        pass


def _busy(system: System) -> Busy:
    who = "its holder left no note"
    try:
        note = loads(atomic.read(f"{system.run}/holder") or "")
        since = time.strftime("%H:%M:%S", time.localtime(note["start"]))
        who = f"{note['verb']}, pid {note['pid']}, since {since}"
    except (StateError, ValueError, KeyError, TypeError):
        pass
    return Busy(f"ALLiE is at work in this system: {who}", "wait for its end")
