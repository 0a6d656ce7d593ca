"""Free a process that waits for what a user has mounted.

No path of a user's FUSE file system is entered that is in the table of mounts (`user_mounts`); one
that is mounted at the very moment can still be met. If its program then reads the request and never
answers, not even SIGKILL ends the wait; only the end of that file system's connection does.
"""

from __future__ import annotations

import os

from allie.core.errors import StateError
from allie.core.lean import suppress
from allie.machine.mounts import user_mounts
from allie.machine.programs import process

LOOK = 5.0  # seconds between two looks at a process
PATIENCE = 30.0  # seconds that one may wait for a user
# The kernel's functions that wait for an answer, or for the first one of all (fs/fuse/dev.c)
_WAITS = (b"request_wait_answer", b"fuse_", b"__fuse_")
_CONNECTIONS = "/sys/fs/fuse/connections"


class StuckWatch:
    """Watches one child; call `look` from time to time."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._since = 0.0

    def look(self, now: float) -> None:
        """Free the child if it has waited for a user for too long. now: time.monotonic()."""
        if not waits(self._pid):
            self._since = 0.0
        elif not self._since:
            self._since = now
        elif now - self._since > PATIENCE:
            free()
            self._since = 0.0


def waits(pid: int) -> bool:
    """Whether a process is waiting for an answer of a FUSE file system."""
    try:
        with open(f"/proc/{pid}/wchan", "rb", buffering=0) as file:
            return file.read(64).startswith(_WAITS)
    except OSError:
        return False


def free() -> None:
    """End the connections of users' file systems at which a request waits; nobody else's."""
    numbers = user_mounts.connections()
    if not numbers:
        return
    if os.path.isdir(f"{_CONNECTIONS}/{numbers[0]}"):
        _end(numbers)
        return
    # Not mounted here: so it is, for a process of its own.
    with suppress(OSError):
        process.wait(process.fork(lambda: _end_by_own_mount(numbers), (None, None, None)))


def _end_by_own_mount(numbers: list[str]) -> int:
    from allie.machine.mounts import mount_call  # noqa: PLC0415 - see HACKING.md, start-up

    with suppress(StateError):
        mount_call.become_private()
        mount_call.mount("fusectl", _CONNECTIONS, "fusectl", 0)
        _end(numbers)
    return 0


def _end(numbers: list[str]) -> None:
    for number in numbers:
        with suppress(OSError, ValueError):
            with open(f"{_CONNECTIONS}/{number}/waiting", encoding="ascii") as file:
                if int(file.read()) == 0:
                    continue
            with open(f"{_CONNECTIONS}/{number}/abort", "w", encoding="ascii") as file:
                file.write("1")
