"""End what a host is doing at the ssh door: sshd asks for its key once, when it connects.

A transfer that is running has the host's name in its environment. A connection on which nothing
runs has it nowhere, and could still ask for something: so one on which nobody is seen at work for
longer than a tick lets it idle is ended, whosesoever it is.

docs/internals/security.md, "Hosts at the ssh door".
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterable, Iterator, Mapping

from allie.core.value import Value
from allie.machine.files import atomic
from allie.machine.programs import process
from allie.server.doors import host_places
from allie.server.places import ACCOUNT

# As sshd calls itself once it knows who has come
_TITLE = rf"sshd(-session)?: {ACCOUNT}(@notty)?( \[priv\])?"
_IDLE = 2.0  # seconds: a tick asks at once for what it wants
_LOOK = 0.2


class Running(Value):
    """One process of the server's."""

    pid: int
    uid: int
    parent: int
    host: str = ""  # for whom it transfers
    is_door: bool = False  # whether it is one connection's sshd


def end(host: str) -> int:
    """End all that a host does at the ssh door; how many transfers and connections were ended.

    A connection is one host's as long as it lasts. One that in all that time ran nothing of another
    host's goes, too: so there is no moment to hide in between two transfers.
    """
    ended = 0
    unknown = {each for each in _processes() if each.is_door}
    until = time.monotonic() + _IDLE
    while True:
        found = {each.pid: each for each in _processes()}
        ended += _end_those_of(host, found)
        others = {each.parent for each in found.values() if each.host not in ("", host)}
        unknown = {each for each in unknown if each.pid in found and each.pid not in others}
        if not unknown or time.monotonic() > until:
            return ended + _end(unknown)
        time.sleep(_LOOK)


def _end_those_of(host: str, found: Mapping[int, Running]) -> int:
    """End a host's transfers, and the connections that they came by."""
    own = {each for each in found.values() if each.host == host}
    above = {found[each.parent] for each in own if each.parent in found}
    return _end(own | {each for each in above if each.is_door})


def _end(those: Iterable[Running]) -> int:
    """Kill processes, and none that has taken the number of one of them; how many."""
    count = 0
    for each in those:
        handle = process.descriptor_of(each.pid)  # it stays that process's, whoever has the number
        try:
            if _process(each.pid, (each.uid,)) == each:
                if handle is None:
                    os.kill(each.pid, signal.SIGKILL)
                else:
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                count += 1
        except ProcessLookupError:
            continue
        finally:
            if handle is not None:
                os.close(handle)
    return count


def _processes() -> Iterator[Running]:
    """The server's processes that are root's, or write reports."""
    uids = (0, host_places.inbox_owner()[0])
    found = (_process(pid, uids) for pid in map(int, filter(str.isdigit, os.listdir("/proc"))))
    return (each for each in found if each)


def _process(pid: int, uids: tuple[int, ...]) -> Running | None:
    """One process as it is now; None if it has ended, or is somebody else's."""
    status = dict(re.findall(r"(\w+):\s+([0-9]+)", atomic.read(f"/proc/{pid}/status") or ""))
    uid = int(status.get("Uid", -1))
    if uid not in uids:
        return None
    environment = (atomic.read(f"/proc/{pid}/environ") or "").split("\0")
    hosts = [each.partition("=")[2] for each in environment if each.startswith("ALLIE_HOST=")]
    title = (atomic.read(f"/proc/{pid}/cmdline") or "").partition("\0")[0].rstrip()
    is_door = re.fullmatch(_TITLE, title) is not None
    return Running(pid, uid, int(status["PPid"]), hosts[0] if hosts else "", is_door)
