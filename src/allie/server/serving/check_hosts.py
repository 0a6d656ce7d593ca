"""Two hosts that are enrolled for the time of a check, so that the doors can be tried as a host is.

Their names are none that a PC can have (RFC 2606), and their keys are no host's: the private halves
are nowhere but in this process's memory. So what a killed check leaves lets nobody in; it goes with
the next one.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from allie.core.errors import Busy
from allie.core.value import Value
from allie.machine.files import atomic, lock, removing
from allie.machine.programs import process
from allie.server.doors import host_places, public_key
from allie.server.doors.enrolled import Enrolled, line_of
from allie.server.places import Places

NAMES = ("one.check.invalid", "other.check.invalid")
SECRET = "secret"  # a file of its private place
_PATIENCE = 10.0  # seconds for somebody who enrols


class CheckHost(Value):
    """A host that is enrolled for now."""

    name: str
    key: str  # the path of its private key
    secret: str  # what its private place holds


@contextmanager
def enrolled(places: Places) -> Iterator[tuple[CheckHost, ...]]:
    """Both hosts, with their private places and inboxes, until the end of the block."""
    busy = Busy("another check is running", "wait for its end")
    with lock.of_directory(f"{places.store}/private", lambda: busy), ExitStack() as ended:
        clear(places)
        ended.callback(clear, places)
        made, lines = [], []
        for name in NAMES:
            key, public = _key(ended)
            made.append(CheckHost(name, key, secrets.token_hex(16)))
            lines.append(line_of(places, Enrolled(name, public_key.parse(public))))
            _places_of(places, made[-1])
        _let_in(places, lines)
        yield tuple(made)


def clear(places: Places) -> None:
    """Take away what there is of such hosts; first what lets them in."""
    _let_in(places, [])
    for name in NAMES:
        for path in filter(os.path.lexists, (places.private(name), places.inbox(name))):
            removing.remove(path, take=True)


def _let_in(places: Places, lines: list[str]) -> None:
    """Have these lines, and no others of such hosts, in the file of keys."""
    busy = Busy("somebody enrols or retires a host", "wait for its end")
    with lock.of_directory(places.etc, lambda: busy, patience=_PATIENCE):
        text = atomic.read(places.enrolled) or ""
        hosts = [line for line in text.splitlines() if not line.endswith(NAMES)]
        wanted = "".join(f"{line}\n" for line in [*hosts, *lines])
        if wanted != text:
            atomic.write(places.enrolled, wanted)


def _key(ended: ExitStack) -> tuple[str, str]:
    """A key: the path of its private half, as long as this process lives; and its public half."""
    with tempfile.TemporaryDirectory(prefix="allie-check-") as work:
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", f"{work}/key"]
        process.run(argv, check=True)
        private, public = (atomic.read_bytes(f"{work}/key{end}") or b"" for end in ("", ".pub"))
    held = os.memfd_create("key", os.MFD_CLOEXEC)
    ended.callback(os.close, held)
    os.fchmod(held, 0o600)  # ssh takes no key that others could read
    os.write(held, private)
    return f"/proc/{os.getpid()}/fd/{held}", public.decode().strip()


def _places_of(places: Places, host: CheckHost) -> None:
    host_places.make(places, host.name)
    atomic.write(f"{places.private(host.name)}/{SECRET}", host.secret, 0o600)
