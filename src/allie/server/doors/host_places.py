"""The two places that a host has in the store for itself: private/HOST and inbox/HOST.

They are made before the host is enrolled, so that whoever is let in finds them, and they stay when
it is retired, until somebody says `--purge`. A place is a directory of mode 0700, and never a link.
"""

from __future__ import annotations

import os
import pwd
import stat

from allie.core.change.resolution import CONSENT
from allie.core.errors import StateError
from allie.core.value import Value
from allie.machine.files import atomic, removing, tree
from allie.server.places import INBOX_ACCOUNT, Places

_MODE = 0o700
REPORT = "report"  # the one file of an inbox
_ASIDE = ".withdrawn"  # in private/: no host is called so


class HostsOwn(Value):
    """What there is of a host's two places."""

    private: bool
    inbox: bool


def standing(places: Places, host: str) -> HostsOwn:
    """Which of the two a host has."""
    return HostsOwn(*(os.path.isdir(each) for each in (places.private(host), places.inbox(host))))


def hosts(places: Places) -> set[str]:
    """The hosts that have a place here, enrolled or not."""
    names = tree.names(f"{places.store}/private") + tree.names(f"{places.store}/inbox")
    return {name for name in names if not name.startswith(".")}


def make(places: Places, host: str) -> list[str]:
    """Make both places of a host, or put them right; what was made, or was otherwise."""
    return [*make_private(places, host), *make_inbox(places, host)]


def make_private(places: Places, host: str) -> list[str]:
    """Make the place of what is one host's alone; what was made, or was otherwise."""
    return _make(places.private(host), (os.geteuid(), os.getegid()))


def make_inbox(places: Places, host: str) -> list[str]:
    """Make the place of a host's report; what was made, or was otherwise."""
    return _make(places.inbox(host), inbox_owner())


def inbox_owner() -> tuple[int, int]:
    """Who writes reports: uid and gid. Ours while there is no such account."""
    try:
        account = pwd.getpwnam(INBOX_ACCOUNT)
    except KeyError:
        return os.geteuid(), os.getegid()
    return account.pw_uid, account.pw_gid


def _make(path: str, owner: tuple[int, int]) -> list[str]:
    """Make a directory with this owner that nobody else can look into; [its path] if it was not."""
    os.makedirs(os.path.dirname(path), _MODE, exist_ok=True)
    st = tree.status(path)
    if st and not stat.S_ISDIR(st.st_mode):
        raise StateError(f"{path} is no directory", "remove it")
    if st and (st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)) == (*owner, _MODE):
        return []
    if not st:
        os.mkdir(path, _MODE)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchown(descriptor, *owner)
        os.fchmod(descriptor, _MODE)
    finally:
        os.close(descriptor)
    return [path]


def reported(places: Places, host: str) -> float:
    """When a host's last report came (its mtime is the PC's word, so by ctime); 0: never."""
    st = tree.status(f"{places.inbox(host)}/{REPORT}")
    return st.st_ctime if st else 0


def emptied(places: Places, host: str) -> float:
    """When a host's private place was emptied by `empty`; 0 if it is not."""
    path = places.private(host)
    st = tree.status(f"{path}/{CONSENT}")
    return st.st_ctime if st and os.listdir(path) == [CONSENT] else 0


def empty(places: Places, host: str) -> str:
    """Have a host's next tick withdraw its private files; where they are kept now.

    An empty place is swapped with the full one, so that a tick finds all or nothing. The one file
    in it says that this is meant (docs/internals/rules.md, "A store may be empty by accident").
    """
    path = places.private(host)
    kept = _aside(places, host)
    for each in (os.path.dirname(kept), kept):
        os.makedirs(each, _MODE, exist_ok=True)
    number = 1
    while os.path.lexists(f"{kept}/{number}"):
        number += 1
    new = f"{kept}/{number}"
    os.mkdir(new, _MODE)
    atomic.write(f"{new}/{CONSENT}", "")
    atomic.swap(path, new, f"{new}.was")
    return new


def purge(places: Places, host: str) -> list[str]:
    """Remove all that the store has of a host; what was removed."""
    places_of_it = (places.private(host), _aside(places, host), places.inbox(host))
    there = [path for path in places_of_it if os.path.lexists(path)]
    for path in there:
        stay = removing.remove(path, take=True)
        if stay:
            removing.set_aside(path, stay)
    return there


def _aside(places: Places, host: str) -> str:
    """Where what was withdrawn from a host is kept."""
    return f"{places.store}/private/{_ASIDE}/{host}"
