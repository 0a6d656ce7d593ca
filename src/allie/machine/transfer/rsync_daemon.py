"""Run rsync's daemon, confined, and end the connections of callers who say nothing.

rsync itself bounds what goes on in a module (`timeout`, `max connections` of rsyncd.conf(5)). A
caller who has not named one yet is bounded by nothing, and each one is a process of root's.
"""

from __future__ import annotations

import errno
import os
import resource
import select
import signal
import socket
import time
from _collections_abc import Sequence

from allie.core.errors import StateError, UsageError
from allie.core.value import Value
from allie.machine.namespaces import confined_daemon
from allie.machine.namespaces.confined_daemon import View
from allie.machine.programs import capabilities as powers
from allie.machine.programs import process, process_groups
from allie.machine.transfer import listeners

_GREETING = 20.0  # seconds in which a caller has to name a module
_IDLE = 60.0  # and, where he has, without a byte before anything was transferred
_AT_WORK = 16384  # bytes that were read or written: something is being transferred


class _Call(Value):
    """One connection, a process of the daemon's."""

    since: float  # when it came, or when something was last heard of it
    moved: int  # bytes
    is_named: bool  # whether it has come to a module, which rsync takes for its root


def need_port(address: str, port: int, *, is_ours: bool = False) -> None:
    """Raise StateError where a daemon could not listen there; address: "" for all of them.

    rsync's own complaint goes to syslog; where only one of IPv4 and IPv6 is taken there is none.
    is_ours: what has the port gives it up; only the address is tried.
    """
    if not 0 < port < 1 << 16:
        raise UsageError(f"{port} is no port", "one from 1 to 65535")
    kind, flags = socket.SOCK_STREAM, socket.AI_PASSIVE
    try:
        places = socket.getaddrinfo(address or None, 0 if is_ours else port, type=kind, flags=flags)
    except (socket.gaierror, UnicodeError) as error:
        raise UsageError(f"there is no address {address}: {error}") from error
    for family, _, _, _, place in places:
        try:
            with socket.socket(family, kind) as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listener.bind(place)
        except OSError as error:
            _complain(error.errno or 0, place[0], port, is_named=bool(address))


def _complain(number: int, address: object, port: int, *, is_named: bool) -> None:
    """Say why nobody can listen; of a kind of address that this machine has not, say nothing."""
    if number == errno.EADDRINUSE:
        hint = "choose another: --port N; or end that, with Ctrl-C if it is `allie store serve`"
        who = listeners.of(port)
        raise StateError(f"port {port} is in use already{f', by {who}' * bool(who)}", hint)
    if number == errno.EACCES:
        raise StateError(f"only root can listen on port {port}", "one above 1023: --port N")
    if is_named:
        raise StateError(f"cannot listen on {address}: {os.strerror(number)}", "ip address")


def start(
    argv: Sequence[str],
    streams: tuple[int | None, int, int],
    capabilities: Sequence[int],
    view: View | None,
    largest: int = 0,
) -> int:
    """Start a daemon that ends with us, and all that it forks; its pid.

    It has these capabilities alone. view: what it sees; None: all. Where the kernel does not let us
    make a view, it is started without, and says so. largest: bytes of a file that it may write.
    """

    def work() -> int:
        if view:
            try:
                confined_daemon.see_only(view)
            except (StateError, OSError) as error:
                words = f"allie: {argv[0]} is not kept to the store's directories: {error}\n"
                os.write(2, words.encode(errors="replace"))
        powers.keep_only(*capabilities)
        if largest:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
        return process.execute(argv, process.environment())

    return confined_daemon.fork_first(work, streams)


class Callers:
    """Those who are connected to a daemon. `most`: so many at a time, waiting or served."""

    def __init__(self, daemon: int, most: int) -> None:
        self.daemon = daemon
        self.most = most
        self._calls: dict[int, _Call] = {}
        self._looked = 0.0

    def look(self) -> None:
        """End the connections that have been silent for too long. To be called often."""
        now = time.monotonic()
        if now - self._looked < process_groups.LOOK:
            return
        self._looked = now
        self._calls = {pid: self._call(pid, now) for pid in _children(self.daemon)}
        too_many = len(self._calls) - self.most
        for pid, call in self._calls.items():  # in the order of their coming
            patience = _IDLE if call.is_named else _GREETING
            is_late = now - call.since >= patience or (too_many > 0 and not call.is_named)
            if is_late and call.moved <= _AT_WORK:
                too_many -= _kill(pid)

    def _call(self, pid: int, now: float) -> _Call:
        before = self._calls.get(pid)
        try:
            is_named = os.readlink(f"/proc/{pid}/root") != "/"
            with open(f"/proc/{pid}/io", encoding="ascii") as io:
                counts = dict(line.split(": ") for line in io)
        except (OSError, ValueError):
            return before or _Call(now, 0, False)  # it has just ended
        moved = int(counts["rchar"]) + int(counts["wchar"])
        is_same = before and (not is_named or (before.moved == moved and before.is_named))
        return _Call(before.since if before and is_same else now, moved, is_named)


def attend(daemon: int, most: int, all_of_them: Sequence[int]) -> tuple[int, int]:
    """See to a daemon's callers until one of the daemons ends; it, and its status as of a shell."""
    callers = Callers(daemon, most)
    poll = select.poll()
    for descriptor in map(process.descriptor_of, all_of_them):
        if descriptor is not None:
            poll.register(descriptor, select.POLLIN)
    while True:
        poll.poll(process_groups.LOOK * 1000)
        for pid in all_of_them:
            code = process.wait_until(pid, 0.0)
            if code is not None:
                return pid, process_groups.as_shell(code)
        callers.look()


def _children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(each) for each in file.read().split()]
    except OSError:
        return []


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
