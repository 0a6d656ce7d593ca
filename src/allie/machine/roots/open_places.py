"""A system's own directories for the length of a tick: opened once, and used by descriptor.

A conf script may make /var/log, /root or /var/lib a link to somewhere else, as administrators do.
In another system's root such a link means a directory of *that* system. Followed by us, who see the
base, it would lead to the base's directory of that name. And where a directory on the way is not
root's alone (/var/log on Ubuntu), its owner can put a link there at any moment.

So state, done-files, logs and run are resolved inside the root, opened there component by component
without following a link, and then reached through their descriptors. After each script it is looked
again where they are: what a script has moved is found at its new place, still inside the root.
Where logs or run take no writes (a dead mount), a spare place serves, and the report says so.
"""

from __future__ import annotations

import errno
import os

from allie.core import errors
from allie.core.errors import StateError
from allie.core.lean import ExitStack
from allie.core.system import System
from allie.machine.files import lock
from allie.machine.roots import open_system

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PLACES = {"state": 0o700, "done": 0o700, "logs": 0o755, "run": 0o755}  # … and their modes
_SPARED = {"logs": "/var/log/allie", "run": "/run/allie"}  # which no tick waits for
_CANNOT_MAKE = (errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM)
_PLAIN = ("", "mirror", "quick", "undo", "systems")  # of the state: what they hold are no links
# Links that are ours: the one to the present generation, and it on its way (`atomic.point`)
_LINKS = ("mirror/current", "mirror/current.part")


class OpenPlaces:
    """The places of one system, pinned and locked: `here` is the system by its descriptors.

    Raises Busy where another tick has the lock, StateError where a place is not safe to write in.
    """

    def __init__(self, system: System, verb: str) -> None:
        self.here = system
        self.inside = -1  # by which a script's own call of ALLiE knows that it is in this tick
        self.notes: tuple[str, ...] = ()  # what an administrator should know of the places
        self._verb = verb
        self._found: dict[str, tuple[int, int]] = {}  # place: its device and inode
        self._stack = ExitStack()

    def __enter__(self) -> OpenPlaces:
        try:
            self._pin(self.here)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def renew(self) -> None:
        """After a script: pin what is elsewhere now. What has not moved stays as it is."""
        now = open_system.open_system(self.here.root)
        found = {place: _identity(getattr(now, place)) for place in _PLACES}
        if found != self._found:
            self._pin(now)
            return
        self.here = self.here._replace(etc=now.etc, conf=now.conf)
        _no_links(self.here)

    def _pin(self, system: System) -> None:
        """Open each place, and take the lock, if it is another than the one that we have."""
        opened, names = {}, []
        self.notes = ()
        for place in _PLACES:
            path, descriptor = self._open_or_spare(system, place)
            names.append(path)
            if descriptor is not None:
                self._stack.callback(os.close, descriptor)
                opened[place] = f"/proc/self/fd/{descriptor}"
                errors.SPOKEN[opened[place]] = path
                self._stack.callback(errors.SPOKEN.pop, opened[place], None)
        before = self._found.get("state")
        self._found = {place: _identity(opened.get(place, "")) for place in _PLACES}
        self.here = system._replace(**opened, names=tuple(names))
        _no_links(self.here)
        if before is None or before != self._found["state"]:
            self._stack.enter_context(lock.held(self.here, self._verb))
            self.inside = lock.pass_on(self.here)
            self._stack.callback(os.close, self.inside)

    def _open_or_spare(self, system: System, place: str) -> tuple[str, int | None]:
        """Where a place is, and its descriptor; of logs and run a spare one's, if need be."""
        path, mode, why = getattr(system, place), _PLACES[place], ""
        if place not in _SPARED:
            return path, _open(system.root, path, mode)
        spare = f"{system.state}/{open_system.SPARE}{place}"
        for each in (path, spare):
            try:
                descriptor = _open(system.root, each, mode)
            except StateError as error:
                descriptor, why = None, str(error)
            if descriptor is None:
                continue
            if os.access(f"/proc/self/fd/{descriptor}", os.W_OK):
                if each == spare:
                    why = why or f"{_SPARED[place]} takes no writes"
                    self.notes += (f"{why}: {spare} is used",)
                return each, descriptor
            os.close(descriptor)
        if why:  # by its name it could lead us out of the root
            raise StateError(why)
        return path, None


def _open(root: str, path: str, mode: int) -> int | None:
    """A directory of ours inside a root, made if need be; None where the disk takes no write."""
    descriptor = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    names = path[len(root) :].strip("/").split("/")
    try:
        for at, name in enumerate(names):
            if at == len(names) - 1:
                _make(name, mode, descriptor)
            elif name not in ("", "."):
                _make(name, 0o755, descriptor)
            below = os.open(name, _DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        owner = os.fstat(descriptor).st_uid
        if os.geteuid() == 0 and owner != 0:
            raise StateError(f"{path} belongs to uid {owner}", f"chown root: {path}")
        return descriptor
    except OSError as error:
        os.close(descriptor)
        if error.errno in _CANNOT_MAKE:
            return None  # whoever writes there will say so
        raise StateError(f"{path} cannot be used: {error.strerror}") from error
    except StateError:
        os.close(descriptor)
        raise


def _make(name: str, mode: int, above: int) -> None:
    try:
        os.stat(name, dir_fd=above, follow_symlinks=False)
    except FileNotFoundError:
        os.mkdir(name, mode, dir_fd=above)


def _identity(path: str) -> tuple[int, int]:
    """Which directory stands at a path; (0, 0) if none does."""
    try:
        st = os.stat(path)
    except OSError:
        return (0, 0)
    return (st.st_dev, st.st_ino)


def _no_links(here: System) -> None:
    """In another system's state no directory of ours is a link, which would be followed here.

    On the base, what root links is root's own business.
    """
    if here.is_base:
        return
    directories = list(_PLAIN)
    for below in directories:  # it grows
        for each in _entries(f"{here.state}/{below}"):
            path = f"{below}/{each.name}".lstrip("/")
            if each.is_symlink() and path not in _LINKS:
                words = f"{here.state}/{path} is a symlink, where ALLiE made none"
                raise StateError(words, "put the directory itself there, or a bind mount")
            if below in ("mirror", "undo") and each.name.isdigit():
                directories.append(path)


def _entries(directory: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as found:
            return list(found)
    except OSError:
        return []
