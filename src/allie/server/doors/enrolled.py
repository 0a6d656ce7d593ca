"""Who is enrolled: the one reader and writer of `authorized_hosts`.

    a host's name, its public key → a line by which the ssh door knows it

sshd makes of a line who is asking: a name in it that is a path would be read by rsyncd as one, and
a quote or newline would be another line. So a line has one form, of a name and a key that were
each taken apart, and a file with any other line in it is not touched, and not gone by. It changes
under a lock, whole or not at all. docs/internals/security.md, "Hosts at the ssh door".
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from allie.core import hosts
from allie.core.errors import Busy, StateError, UsageError
from allie.core.value import Value
from allie.machine.files import atomic, lock, tree
from allie.server.doors import host_places, public_key
from allie.server.doors.public_key import PublicKey
from allie.server.places import PLAIN_PATH, Places

_LINE = 'restrict,command="exec env ALLIE_HOST=%s rsync --server --daemon --config=%s ." %s %s'
_FORM = re.escape(_LINE) % (r"(?P<host>[a-z0-9.-]+)", PLAIN_PATH, r"(?P<key>\S+ \S+)", "(?P=host)")
_PATIENCE = 10  # seconds for another one who enrols


class Enrolled(Value):
    """One key of one host."""

    host: str
    key: PublicKey


class Refused(Value):
    """A key that cannot be enrolled for this host, why, and what to do."""

    host: str
    message: str
    hint: str


class Enrolment(Value):
    """What came of enrolling."""

    gone: Sequence[Enrolled]  # keys that others have replaced
    refused: Sequence[Refused]


def check_host(name: str) -> str:
    """The name in small letters. Raises UsageError if it is no host's."""
    host = name.lower() if name.isascii() else name
    if hosts.is_address(host):
        raise UsageError(f"{host}: a host is enrolled by its name", f"--scan pc07={host}")
    if not hosts.is_name(host):
        hint = "letters and digits, - and . in between"
        raise UsageError(f"{name[:80]!r} is no host's name", hint)
    return host


def line_of(places: Places, one: Enrolled) -> str:
    """The line of authorized_hosts, without its newline."""
    return _line(one, places.own)


def _line(one: Enrolled, config: str) -> str:
    return _LINE % (one.host, config, one.key, one.host)


def parse(text: str, path: str) -> list[Enrolled]:
    """All lines of an authorized_hosts. Raises StateError, with its number, for any other line.

    path: for the message. Another configuration than the store's own may be named: a store may have
    been moved, and `settle` mends that.
    """
    *lines, unended = text.split("\n")
    found: dict[PublicKey, Enrolled] = {}
    for number, line in enumerate([*lines, unended] if unended else lines, 1):
        each = None if line is unended else _entry(line)
        if not each or each.key in found:
            words = f"{path}: line {number} is not as `allie store enrol` writes it: {line[:60]}"
            raise StateError(words, "nothing else writes there: take the line out")
        found[each.key] = each
    return [*found.values()]


def strange_lines(text: str, config: str) -> list[int]:
    """The numbers of lines that are not what is written here for this configuration of rsyncd's.

    Whatever else stands in a line may let somebody in as whom he likes, with more than one command.
    """
    lines = enumerate(text.removesuffix("\n").split("\n") if text else [], 1)
    read = ((number, line, _entry(line)) for number, line in lines)
    return [number for number, line, each in read if not each or line != _line(each, config)]


def _entry(line: str) -> Enrolled | None:
    """What a line says; None if it is not in the one form."""
    match = re.fullmatch(_FORM, line, re.A)
    if not match or not hosts.is_name(match["host"]):
        return None
    try:
        key = public_key.parse(match["key"])
    except UsageError:
        return None
    return Enrolled(match["host"], key) if str(key) == match["key"] else None


def read(places: Places) -> list[Enrolled]:
    """Who is enrolled, by host. Raises StateError where a line is none of ours."""
    text = atomic.read(places.enrolled)
    if text is None and tree.status(places.enrolled):
        raise StateError(f"{places.enrolled} is no file, or cannot be read", "look at what it is")
    return parse(text or "", places.enrolled)


def enrol(places: Places, keys: Mapping[str, PublicKey], *, replace: bool = False) -> Enrolment:
    """Let hosts in, each by a key; both places of each are there before it is.

    replace: instead of all keys that the host has. Refused are a key that another host has, since
    nobody could tell which of them asks, and a second one of a type, if it is not to replace.
    """
    gone: list[Enrolled] = []
    refused: list[Refused] = []
    with _held(places):
        present = read(places)
        owners = {each.key: each.host for each in present}
        own = _by_host(present)
        for name, key in keys.items():
            host = check_host(name)
            others = [each for each in own.get(host, ()) if each != key]
            flaw = _flaw(host, key, owners.get(key, host), () if replace else others)
            if flaw:
                refused.append(Refused(host, *flaw))
                continue
            host_places.make(places, host)
            owners[key] = host
            for each in others if replace else ():
                gone.append(Enrolled(host, each))
                del owners[each]
        _write(places, (Enrolled(host, key) for key, host in owners.items()))
    return Enrolment(gone, refused)


def _by_host(those: Iterable[Enrolled]) -> dict[str, list[PublicKey]]:
    found: dict[str, list[PublicKey]] = {}
    for each in those:
        found.setdefault(each.host, []).append(each.key)
    return found


def _flaw(
    host: str, key: PublicKey, owner: str, others: Sequence[PublicKey]
) -> tuple[str, str] | None:
    """Why a key cannot be enrolled, and what to do. owner: whose it is; others: the host's own."""
    if owner != host:
        hint = f"two PCs from one disk? On {host}: rm /etc/ssh/ssh_host_*_key*; ssh-keygen -A;"
        hint += f" restart sshd. If {owner} has a new name: allie store retire {owner}"
        return f"{host}: this is the key of {owner}", hint
    for each in others:
        if each.short_kind == key.short_kind:
            words = f"{host} has another {each.short_kind} key: {each.fingerprint}"
            return words, "if it was installed anew: --replace"
    return None


def retire(places: Places, host: str) -> list[Enrolled]:
    """Let a host in no more; the keys that it had."""
    with _held(places):
        present = read(places)
        gone = [each for each in present if each.host == host]
        _write(places, [each for each in present if each.host != host])
    return gone


def settle(places: Places) -> bool:
    """Have each line name the store's own configuration, for it may have moved; if one did not."""
    with _held(places):
        return _write(places, read(places))


def _write(places: Places, all_of_them: Iterable[Enrolled]) -> bool:
    """Write the file, sorted, if that makes it another one; whether it did."""
    if not re.fullmatch(PLAIN_PATH, places.own, re.A):
        words = f"{places.etc}: a shell and sshd read this path: letters, digits and . _ + - alone"
        raise StateError(words, "etc = DIR in store.conf, section [serve], names another place")
    order = sorted(all_of_them, key=lambda each: (each.host, str(each.key)))
    text = "".join(f"{line_of(places, each)}\n" for each in order)
    if (atomic.read(places.enrolled) or "") == text:
        return False
    atomic.write(places.enrolled, text)
    return True


@contextmanager
def _held(places: Places) -> Iterator[None]:
    """Hold the file, so that nobody changes it between being read and written."""
    os.makedirs(places.etc, 0o700, exist_ok=True)
    busy = Busy("another `allie store` enrols or retires a host", "wait for its end")
    with lock.of_directory(places.etc, lambda: busy, patience=_PATIENCE):
        yield
