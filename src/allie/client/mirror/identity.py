"""Who this PC is at a store's ssh door, and whom it takes for the server.

Its name there is its key, that of its own sshd: there is no secret to make, to carry or to lose.
Where there is none it gets one. The server's key is noted at the first contact (*pinned*), and from
then on it is the only one.

docs/internals/rules.md, "Two doors, one generation".
"""

from __future__ import annotations

import os
from _collections_abc import Iterator

from allie.client.state import host_names
from allie.core.conf import addresses
from allie.core.conf.settings import Settings
from allie.core.errors import StateError, Unreachable
from allie.core.lean import contextmanager
from allie.core.system import System
from allie.machine import console
from allie.machine.files import atomic, tree
from allie.machine.programs import process
from allie.machine.programs.process_groups import Bounds
from allie.machine.roots import paths, within
from allie.machine.transfer import ssh_door
from allie.machine.transfer.ssh_door import Identity

PIN = "etc/allie/known_hosts"  # as ssh has it; one line, whatever the server's addresses
_KINDS = ("ed25519", "ecdsa", "rsa")  # of sshd's keys, the first that is there
_WAITS = "waits to be enrolled"
_OWN = "etc/ssh/ssh_host_{}_key"
_TYPES = ("ssh-", "ecdsa-", "sk-")


def of(here: System, settings: Settings) -> Identity:
    """What the two know each other by, as it stands. Raises StateError where `key` is not there."""
    return Identity(_key(here, settings), f"{here.etc}/known_hosts", settings.kex)


def ready(here: System, settings: Settings, door: str) -> Identity:
    """The same, with a key made and the server's pinned where there is none.

    Raises StateError where that cannot be, StoreError where the server does not answer.
    """
    found = of(here, settings)
    if not found.key:
        _make_key(here)
        found = of(here, settings)
    if not pinned(here):
        _pin(here, settings, found, door)
    return found


def pinned(here: System) -> str:
    """The server's key that this PC has noted, as `ssh-ed25519 AAAA…`; "" if there is none."""
    return _pin_in(within.text(here.root, PIN) or "")


def public(here: System, settings: Settings) -> str:
    """This PC's own key, the half that everybody may know; "" if it has none."""
    key = _key(here, settings)
    if not key:
        return ""
    said = within.text(here.root, f"{key[len(here.at('')) :]}.pub")
    if said is None:
        said = process.run(["ssh-keygen", "-y", "-f", key], only_reads=True).out.decode()
    return _key_in(said.split())


def to_enrol(here: System, settings: Settings) -> str:
    """The command by which this PC becomes known to the server; "" where it has no key."""
    host, key = host_names.of(here, settings.host)[0].lower(), public(here, settings)
    return f"allie store enrol {host} '{key}'" if key else ""


def waiting(here: System, settings: Settings) -> str:
    """That the server does not know this PC, in words that tell the administrator which it is."""
    key = public(here, settings)
    return f"{_WAITS} ({ssh_door.fingerprint(key) if key else 'it has no key'})"


def waits(trouble: str) -> bool:
    """Whether it is that: the server does not know this PC, never did or does no more."""
    return trouble.startswith(_WAITS)


def _pin_in(text: str) -> str:
    """The server's key in the text of a known_hosts."""
    lines = (line.split() for line in text.splitlines())
    return next((_key_in(words[1:]) for words in lines if words[:1] == [ssh_door.PINNED]), "")


def _key_in(words: list[str]) -> str:
    """A public key: its kind and itself, without what is said of it."""
    return " ".join(words[:2]) if words[1:] and words[0].startswith(_TYPES) else ""


def _key(here: System, settings: Settings) -> str:
    """The file of this PC's private key; "" if there is none."""
    inside = paths.Inside(here.root)
    wanted = [settings.key[1:]] if settings.key else [_OWN.format(kind) for kind in _KINDS]
    for path in wanted:
        if within.is_file(here.root, path):
            return inside.prefix + inside.file(path)
    if settings.key:
        raise StateError(f"there is no {settings.key}", "key = in allie.conf names it")
    return ""


def _make_key(here: System) -> None:
    """Make the key that sshd would make itself at its first start."""
    if not process.has_program("ssh-keygen"):
        raise StateError("this PC has no key, and no ssh-keygen", "install openssh-client")
    real = _OWN.format(_KINDS[0])
    with _scratch() as place:
        argv = ["ssh-keygen", "-q", "-t", _KINDS[0], "-N", "", "-C", "", "-f", f"{place}/key"]
        process.run(argv, check=True)
        inside = paths.Inside(here.root)
        within.make_directories(here.root, inside.directory(os.path.dirname(real)).real)
        for ending, mode in ((".pub", 0o644), ("", 0o600)):  # the one that counts last
            with open(f"{place}/key{ending}", "rb") as file:
                within.write(here.root, inside.entry(real + ending), file.read(), mode)
    atomic.sync_filesystem(os.path.dirname(here.at(inside.entry(real))))


def _pin(here: System, settings: Settings, found: Identity, door: str) -> None:
    """Note the key that the server has at the first contact, and say so."""
    with _scratch() as place:
        first = found._replace(known=f"{place}/known_hosts")
        argv = [*first.words(door, first=True), addresses.door_at(door)[0], "true"]
        done = process.run(argv, bounds=Bounds(settings.stall), only_reads=True)
        said = atomic.read(first.known) or ""
    key = _pin_in(said)
    if not key:
        ssh_door.check(done, door)
        raise Unreachable(f"{door} does not answer: {done.last_words()}")
    line = f"{ssh_door.PINNED} {key}\n"
    inside = paths.Inside(here.root)
    within.make_directories(here.root, inside.directory(os.path.dirname(PIN)).real)
    within.write(here.root, inside.entry(PIN), line.encode())
    atomic.sync_filesystem(here.etc)
    shown = ssh_door.fingerprint(key)
    console.say(f"{door}: its key is {shown}, and from now on no other is taken")


@contextmanager
def _scratch() -> Iterator[str]:
    """A directory of root's alone, which no system's root can reach."""
    place = f"/run/allie/own-{os.getpid()}"
    try:
        os.makedirs(place, 0o700)
    except OSError as error:
        raise StateError(f"cannot make {place}: {error.strerror}") from error
    try:
        yield place
    finally:
        tree.remove(place)
