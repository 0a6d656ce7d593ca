"""Set the doors up for good: keys, configurations, accounts, systemd's units; and undo that.

What is already as it is to be is left alone, so a second run does nothing, and one after an update
of ALLiE, or of store.conf, brings what is new. Each thing that is done is one line. What belongs to
the store stays when the doors go, and so do the keys: PCs know the server by its own.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator

from allie.core.errors import StateError, UsageError
from allie.core.value import Value
from allie.machine.files import atomic
from allie.machine.programs import process
from allie.machine.transfer import rsync, rsync_daemon
from allie.server import store as stores
from allie.server import store_conf, systemd
from allie.server.doors import enrolled, host_places, public_key, rsyncd_conf, sshd_conf, units
from allie.server.doors.units import Ports, Programs
from allie.server.places import INBOX_ACCOUNT, PLAIN_PATH, RSYNC_PORT, SSH_PORT, Places
from allie.server.serving import accounts
from allie.server.store_conf import StoreConf

_OTHERS_WRITE = 0o022


class Asked(Value):
    """What the command line says of the doors' place; None: as it was, or as it usually is."""

    address: str | None = None
    port: int | None = None
    ssh_port: int | None = None


def set_up(top: str, asked: Asked) -> Iterator[str]:
    """Set the doors of a store up; each thing that is done, as it is done. top: its real path.

    Raises StateError where a port is somebody else's, before anything is done.
    """
    rules, places = store_conf.read(top), store_conf.places(top)
    need_plain(places)
    _need_own(places)
    programs = need_programs()
    where = ports(asked)
    need_two(where.rsync, where.ssh)
    if systemd.is_there():
        for port in (where.rsync, where.ssh):
            _need_free(where.address, port)
    yield from _keys_and_accounts(places)
    yield from configurations(places, rules)
    if systemd.is_there():
        yield from _units(units.texts(places, rules, where, programs))


def _keys_and_accounts(places: Places) -> Iterator[str]:
    """What the ssh door needs, in whichever way it is served."""
    for name in ("private", "inbox"):  # a store of long ago has none
        yield from _directory(f"{places.store}/{name}", 0o700)
    stores.close(places.store)
    yield from _directory(places.etc, 0o700)
    if not os.path.lexists(places.host_key):
        made = f"{places.host_key}.new"
        atomic.remove(made)
        key = ["-q", "-t", "ed25519", "-N", "", "-C", "allie-store", "-f", made]
        process.run(["ssh-keygen", *key], check=True)
        os.rename(f"{made}.pub", f"{places.host_key}.pub")
        os.rename(made, places.host_key)
        yield f"made {places.host_key}, by which PCs know this server"
    yield from accounts.make()
    yield from _own_inboxes(places)
    if enrolled.settle(places):
        yield f"wrote {places.enrolled}: the store has moved"


def configurations(places: Places, rules: StoreConf) -> Iterator[str]:
    """The doors' configuration files."""
    for path, text in texts(places, rules).items():
        if atomic.renew(path, text):
            yield f"wrote {path}"


def texts(places: Places, rules: StoreConf) -> dict[str, str]:
    """The configuration files by path."""
    return {
        places.common: rsyncd_conf.common(places, rules),
        places.own: rsyncd_conf.own(places),
        places.sshd: sshd_conf.text(places, rules),
    }


def remove(top: str, *, keys: bool) -> Iterator[str]:
    """Undo what `set_up` did; each thing that is done. keys: those of hosts and server, too."""
    places = store_conf.places(top)
    _need_own(places)
    if systemd.is_there():
        yield from _without_units()
    yield from accounts.remove()
    gone = [places.common, places.own, places.sshd]
    gone += [places.enrolled, places.host_key, f"{places.host_key}.pub"] * keys
    for path in filter(atomic.remove, gone):
        yield f"removed {path}"
    if os.path.isdir(places.etc) and not os.listdir(places.etc):
        os.rmdir(places.etc)
        yield f"removed {places.etc}"


def fingerprint(places: Places) -> str:
    """SHA256:… of the server's key, which PCs pin."""
    return public_key.parse(atomic.read(f"{places.host_key}.pub") or "").fingerprint


def writable_by_others(path: str) -> str:
    """The directory on the way to `path`, or it, that others than we can write to; or ""."""
    while True:
        st = os.stat(path)
        is_others = st.st_uid not in (0, os.geteuid())
        if is_others or (st.st_mode & _OTHERS_WRITE and not st.st_mode & stat.S_ISVTX):
            return path
        if path == "/":
            return ""
        path = os.path.dirname(path)


def need_programs() -> Programs:
    """What the units start. Raises StateError where something is not installed."""
    wanted = {"sshd": "openssh-server", "ssh-keygen": "openssh-client", "grep": "grep"}
    if not process.program("rsync"):
        raise rsync.no_rsync()
    for name, package in wanted.items():
        if not process.program(name):
            raise StateError(f"there is no {name} here", f"install {package}")
    return Programs(process.program("sshd"), systemd.own_program())


def ports(asked: Asked) -> Ports:
    """Where the doors are to be: as asked, else where they are, else where they usually are."""
    present = [units.listening(systemd.text_of(name)) for name in units.DOORS]
    address = next((each[0] for each in present if each), "")
    usual = ((asked.port, RSYNC_PORT), (asked.ssh_port, SSH_PORT))
    rsync_port, ssh_port = (
        wanted or (there[1] if there else default)
        for there, (wanted, default) in zip(present, usual)
    )
    return Ports(address if asked.address is None else asked.address, rsync_port, ssh_port)


def need_two(port: int, ssh_port: int | None) -> None:
    """Raise UsageError where both doors would be at one port; the second would not open."""
    if port == ssh_port:
        raise UsageError(f"both doors would be at port {port}", "--port N, --ssh-port N: two")


def need_plain(places: Places) -> None:
    """Raise StateError for a path that sshd, systemd, rsyncd and a shell read differently."""
    for path in (places.store, places.etc):
        if not re.fullmatch(PLAIN_PATH, path, re.A):
            words = f"{path}: it stands in the files of four programs"
            raise StateError(words, "let it be of letters, digits and . _ + - alone")


def need_directory(places: Places) -> None:
    """Raise StateError where the directory of keys is another program's.

    `etc = /etc/ssh` would be the end of the server's own sshd and of its key; `etc = /etc` would be
    closed to everybody but root.
    """
    names = os.listdir(places.etc) if os.path.isdir(places.etc) else []
    known = tuple(map(os.path.basename, (places.enrolled, places.host_key, places.sshd)))
    is_ours = (atomic.read(places.sshd) or sshd_conf.HEAD).startswith(sshd_conf.HEAD)
    if not is_ours or (names and not any(name.startswith(known) for name in names)):
        words = f"{places.etc} has files that `allie store setup` did not write"
        raise StateError(words, "etc = DIR in store.conf names a directory for its keys alone")


def _need_own(places: Places) -> None:
    """The same, and where the doors are another store's; one that was moved takes its own along."""
    need_directory(places)
    serves = re.search(r"^ExecStart=.* --store (\S+)$", systemd.text_of(units.RSYNC) or "", re.M)
    other = serves[1] if serves else places.store
    if other != places.store and os.path.exists(f"{other}/{store_conf.NAME}"):
        hint = f"allie store setup --remove{stores.named_store(other)} closes them"
        raise StateError(f"the doors of this server are those of {other}", hint)


def _need_free(address: str, port: int) -> None:
    """Raise StateError where somebody else has the port; our own doors may have it."""
    ours = (name for name in units.DOORS if systemd.is_so(name, "active"))
    present = filter(None, (units.listening(systemd.text_of(name)) for name in ours))
    rsync_daemon.need_port(address, port, is_ours=port in (each[1] for each in present))


def _directory(path: str, mode: int) -> Iterator[str]:
    if not os.path.isdir(path):
        os.makedirs(path, mode)
        yield f"made {path}"
    if stat.S_IMODE(os.stat(path).st_mode) != mode:
        os.chmod(path, mode)
        yield f"gave {path} the mode {mode:o}"


def _own_inboxes(places: Places) -> Iterator[str]:
    """Give the inboxes of hosts that were enrolled before this to the account of reports."""
    for host in sorted(os.listdir(f"{places.store}/inbox")):
        if host_places.make_inbox(places, host):
            yield f"gave inbox/{host} to {INBOX_ACCOUNT}"


def _units(wanted: dict[str, str]) -> Iterator[str]:
    changed = set(systemd.write(wanted))
    for name in sorted(changed):
        yield f"wrote {systemd.DIRECTORY}/{name}"
    for name in changed.intersection(units.DOORS):
        systemd.call("stop", name)  # before the first of them starts: they may change places
    for name in units.DOORS:
        if not systemd.is_so(name, "enabled"):
            systemd.call("enable", name)
            yield f"enabled {name}: it is there after each boot"
        if not systemd.is_so(name, "active"):
            systemd.call("start", name)
            yield f"started {name}"


def _without_units() -> Iterator[str]:
    there = [name for name in units.NAMES if systemd.text_of(name) is not None]
    if not there:
        return
    for name in filter(lambda name: name in there, units.DOORS):
        systemd.call("disable", "--now", name)
        yield f"closed {name}"
    systemd.call("stop", units.CALL.replace("@", "@*"))
    for path in systemd.remove(there):
        yield f"removed {path}"
