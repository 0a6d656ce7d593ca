"""Stages: where things are made before they take their places by one rename.

What is made where others may change names can be swapped before it has its owner and mode, and then
it is the other thing that gets them. So files and directories are made in directories of root's
alone, one on each file system, and are whole when they come into their places. For the file system
that ALLiE's state is on, it is a directory in the state; else one at the top of the file system, or
as near to it as all above is root's alone; else one in the place's own directory, of a name that
nobody can know. docs/internals/security.md, "Owner and mode".
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress

from allie.core.errors import PathRefused
from allie.machine import paths, tree
from allie.machine.reach import Reach, mount_of

_PREFIX = "stage-"  # in the state: what follows is the token of all stages of one transaction
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OTHERS, _OTHERS_WRITE = 0o077, 0o022

Disk = tuple[str, int]  # the number of the mount, st_dev: within it a rename is possible


class Stage:
    """A directory in which things are made. plain: others may change its names.

    at: where it is, as (directory, name); None where it is the place's own directory.
    """

    def __init__(
        self, descriptor: int, prefix: str = "", at: tuple[int, str] | None = None
    ) -> None:
        self.descriptor = descriptor
        self.plain = False
        self._prefix = prefix
        self._at = at
        self._count = 0

    def new_name(self) -> str:
        """A name that nothing here has."""
        self._count += 1
        return f"{self._prefix}{self._count}"

    def path(self, name: str) -> str:
        """The way to what has been made here."""
        return f"{paths.through(self.descriptor)}/{name}"

    def end(self) -> None:
        """Remove what was made here and has not left, and the directory."""
        for count in range(1, self._count + 1):
            with suppress(OSError):
                _discard(f"{self._prefix}{count}", self.descriptor)
        os.close(self.descriptor)
        if self._at:
            directory, name = self._at
            with suppress(OSError):
                os.rmdir(name, dir_fd=directory)
            os.close(directory)


class Stages:
    """The stages of one transaction. Use it as a context: they go when it ends."""

    def __init__(self, state: str, reach: Reach) -> None:
        self._reach = reach
        self._token = os.urandom(8).hex()
        self._place = f"{state}/{_PREFIX}{self._token}"
        self._stages: dict[Disk | str, Stage] = {}

    def __enter__(self) -> Stages:
        os.mkdir(self._place, 0o700)
        self.own = Stage(os.open(self._place, _OPEN))  # the one on the disk of the state
        self._stages[_disk_of(self.own.descriptor)] = self.own
        return self

    def __exit__(self, *_: object) -> None:
        for stage in self._stages.values():
            stage.end()
        with suppress(OSError):
            os.rmdir(self._place)

    def for_directory(self, real: str) -> Stage:
        """The stage from which things can be renamed into a directory. Raises OSError."""
        disk = _disk_of(self._reach.directory(real))
        known = self._stages.get(disk) or self._stages.get(real)
        if known is None:
            known = self._near_the_top(real, disk)
            if known is None:
                return self.in_place(real)
            self._stages[disk] = known
        return known

    def in_place(self, real: str) -> Stage:
        """A stage in the directory itself; where the file system has no owners, that is the stage.

        Raises PathRefused where somebody changes what is made there, else OSError.
        """
        found = self._make(real, _OTHERS)
        if found is None:
            descriptor = os.open(".", _OPEN, dir_fd=self._reach.directory(real))
            found = Stage(descriptor, f".allie-{self._token}-")
            found.plain = self._reach.is_tainted(real)
            if found.plain and _has_owners(found):
                found.end()
                raise PathRefused("somebody else changes what is made there")
        self._stages[real] = found
        return found

    def all(self) -> list[Stage]:
        """The stages so far: at least one on each file system that something is made for."""
        return list(self._stages.values())

    def _near_the_top(self, real: str, disk: Disk) -> Stage | None:
        """A stage in the topmost directory of the file system, if all above it is root's alone."""
        for above in _and_above(real):
            if self._reach.is_tainted(above):
                return None
            if _disk_of(self._reach.directory(above)) == disk:
                return self._make(above, _OTHERS_WRITE)
        return None

    def _make(self, real: str, refused: int) -> Stage | None:
        """Make a stage in a directory; None where it cannot be, or has mode bits that it must not.

        What comes is looked at: a user may put something else there before it is opened.
        """
        directory = os.dup(self._reach.directory(real))
        name = f".allie-{self._token}"
        try:
            os.mkdir(name, 0o700, dir_fd=directory)
            made = Stage(os.open(name, _OPEN, dir_fd=directory), at=(directory, name))
        except OSError:
            os.close(directory)
            return None
        st = os.fstat(made.descriptor)
        if st.st_uid == os.geteuid() and not st.st_mode & refused and not _names(made.descriptor):
            return made
        made.end()
        return None


def remove_left(state: str, reach: Reach, reals: Iterable[str]) -> None:
    """Remove the stages that killed transactions left. reals: the paths that they wrote to."""
    tokens = [name[len(_PREFIX) :] for name in os.listdir(state) if is_left(name)]
    if not tokens:
        return
    places = {above for real in reals for above in _and_above(real.rpartition("/")[0])}
    for real in sorted(places):
        with suppress(OSError, PathRefused):
            for token in tokens:
                _remove_in(reach.directory(real), f".allie-{token}")
    for token in tokens:
        tree.remove(f"{state}/{_PREFIX}{token}")


def _has_owners(stage: Stage) -> bool:
    """Whether a file that root makes there is root's alone: not on vfat, nor where root is nobody.

    It is known by its descriptor, so nobody can put another one in its place. Raises OSError.
    """
    name = stage.new_name()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o600, dir_fd=stage.descriptor)
    try:
        st = os.fstat(descriptor)
        return st.st_uid == os.geteuid() and not st.st_mode & _OTHERS
    finally:
        os.close(descriptor)
        _discard(name, stage.descriptor)


def is_left(name: str) -> bool:
    """Whether a name in the state is that of a stage: a killed transaction left it."""
    return name.startswith(_PREFIX)


def _remove_in(directory: int, name: str) -> None:
    """Remove what a stage left in a directory: itself, or (plain) what was made there."""
    for each in _names(directory):
        if each.startswith(f"{name}-"):
            _discard(each, directory)
        elif each == name:
            stage = os.open(name, _OPEN, dir_fd=directory)
            try:
                if os.fstat(stage).st_uid == os.geteuid():
                    for made in filter(str.isdigit, _names(stage)):
                        tree.remove(f"{paths.through(stage)}/{made}")
            finally:
                os.close(stage)
            os.rmdir(name, dir_fd=directory)


def _discard(name: str, directory: int) -> None:
    """Remove a file or an empty directory; in any other is something that is not ours."""
    try:
        os.unlink(name, dir_fd=directory)
    except IsADirectoryError:
        os.rmdir(name, dir_fd=directory)


def _names(directory: int) -> list[str]:
    return os.listdir(paths.through(directory))


def _and_above(real: str) -> list[str]:
    """A directory and all above it, the root ("") first."""
    names = real.split("/") if real else []
    return ["", *("/".join(names[: count + 1]) for count in range(len(names)))]


def _disk_of(descriptor: int) -> Disk:
    return mount_of(descriptor), os.fstat(descriptor).st_dev
