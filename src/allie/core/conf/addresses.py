"""Addresses of stores, as allie.conf and command lines have them; among them those of ssh doors.

A *door* is ssh:// without a path: an sshd of the store's own, which knows each host by its key
(`machine.transfer.ssh_door`). With a path it is a login, as on any server.
"""

from __future__ import annotations

from allie.core import globs
from allie.core.errors import SettingsError
from allie.core.lean import re

ACCOUNT, PORT = "allie-store", "8730"  # of a store's ssh door, as `allie store setup` makes it
_STORE = r"(rsync://([^/:[]+|[^/:[]*\[[^]/]+\])(:[0-9]{0,5})?/?|ssh://[^/]+/.*|/.*)"
_DOOR = r"ssh://(?P<host>[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{1,5}))?/?"
_ONLY_HOST = r"(?:rsync://)?([A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]+)?)(?:/.*)?"  # or too much
_CONTROL = "[\0-\x1f\x7f-\x9f]"
_LONGEST = 4096  # as Linux has it for a path


def check_store(store: str) -> str:
    """Return a store's address if it is one; raise SettingsError if not."""
    if is_door(store.removesuffix("/")):
        return check_door(store)
    if not (_is_ordinary(store) or re.fullmatch(_STORE, store)) or is_no_path(store):
        hint = "rsync://host[:port]/, ssh://host[:port], ssh://user@host/path, or /path"
        host = re.fullmatch(_ONLY_HOST, store)
        if host:
            hint = f"did you mean rsync://{host[1]}?"
        raise SettingsError(f"{store!r} is not the address of a store", hint)
    return store


def _is_ordinary(store: str) -> bool:
    """Whether it is the address of a store as nearly all are: a tick needs no pattern for it."""
    kind, _, rest = store.rstrip("/").partition("://")
    host, colon, port = rest.partition(":")
    number = not colon or (port.isascii() and port.isdigit() and len(port) <= len("65535"))
    return kind == "rsync" and store.count("/") < 4 and globs.is_word(host) and number


def is_door(address: str) -> bool:
    """Whether an address is that of an ssh door. With a / at its end it is a login's whole root.

    >>> [is_door(each) for each in ("ssh://h:8730", "ssh://h/srv", "ssh://root@h/", "rsync://h")]
    [True, False, False, False]
    """
    return address.startswith("ssh://") and "/" not in address[len("ssh://") :]


def check_door(door: str) -> str:
    """Return the address of an ssh door if it is one; raise SettingsError if not."""
    if not re.fullmatch(_DOOR, door):
        hint = "ssh://host[:port], without a user and without a path"
        raise SettingsError(f"{door!r} is not the address of a store's ssh door", hint)
    return door.rstrip("/")


def door_at(door: str) -> tuple[str, str]:
    """(account@host, port) of a door.

    >>> door_at("ssh://[fe80::1]:22"), door_at("ssh://server")
    (('allie-store@[fe80::1]', '22'), ('allie-store@server', '8730'))
    """
    found = re.fullmatch(_DOOR, door)
    return (f"{ACCOUNT}@{found['host']}", found["port"] or PORT) if found else ("", "")


def login_at(store: str) -> tuple[str, str, str]:
    """(user@host, port or "", path without its first slash) of ssh://user@host:port/path."""
    where, _, top = store[len("ssh://") :].partition("/")
    host, colon, port = where.rpartition(":")
    return (host, port, top) if colon and port.isdigit() else (where, "", top)


def is_no_path(text: str) -> bool:
    """Whether a path with these letters would be shown as something else, or cannot be."""
    odd = not text.isprintable()
    return len(text) > _LONGEST or (odd and bool(re.search(_CONTROL, text)))
