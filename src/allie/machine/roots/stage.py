"""Stages: where things are made before they take their places by one rename.

What is made where others may change names can be swapped before it has its owner and mode, and then
it is the other thing that gets them. So files and directories are made in directories of root's
alone, one on each file system, and are whole when they come into their places. For the file system
that ALLiE's state is on, it is a directory in the state; else one at the top of the file system, as
far as it is on the way. Where that is a user's, the stage has a name that nobody can know, and is
looked at once it is open. docs/internals/security.md, "Owner and mode".
"""

from __future__ import annotations

import errno
import os
import stat
from _collections_abc import Iterable

from allie.core.errors import PathRefused
from allie.core.lean import suppress
from allie.machine.files import atomic, directory_identity, tree
from allie.machine.roots import paths
from allie.machine.roots.reach import Disk, Reach, disk_of

_PREFIX = "stage-"  # in the state: what follows is the token of all stages of one transaction
_MARKS = "marks"  # in that directory: how recovery knows the stages that users could move
_PLAIN = "plain"  # a line there: some were no directories of their own
_MOST_IN_PLACE = 16  # stages of directories that the one of their disk does not serve; all are open
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OTHERS, _OTHERS_WRITE = 0o077, 0o022
_SWAPPED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_SOMEBODY = "somebody else changes what is made there"


class Stage:
    """A directory in which things are made. plain: others own all there, and may change its names.

    at: where it is, as (directory, name); None where it is the place's own directory.
    """

    def __init__(
        self, descriptor: int, prefix: str = "", at: tuple[int, str] | None = None
    ) -> None:
        self.descriptor = descriptor
        self.plain = False
        self.owner = -1  # of plain ones: whose all is that is made there, if it is somebody's
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

    def refuse_secret(self, source: str) -> None:
        """Raises PathRefused for what not everybody may see, where it would become somebody's."""
        st = os.lstat(source) if self.plain else None
        see = 0o005 if st and stat.S_ISDIR(st.st_mode) else 0o004
        if st and st.st_mode & see != see and st.st_uid != self.owner:
            raise PathRefused("not everybody may see it, and the file system there has no owners")

    def end(self) -> None:
        """Remove what was made here and has not left, and the directory."""
        made = {f"{self._prefix}{count}" for count in range(1, self._count + 1)}
        if made and not self._prefix:  # a directory of root's alone, which nearly all has left
            with suppress(OSError):
                made.intersection_update(os.listdir(self.descriptor))
        for name in made:
            with suppress(OSError):
                _discard(name, self.descriptor)
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
        self._by_disk: dict[Disk, Stage] = {}
        self._by_place: dict[str, Stage] = {}
        self._failed: dict[str, str] = {}  # where no stage can be, and why
        self._last: tuple[str, Stage] | None = None  # by `in_place`

    def __enter__(self) -> Stages:
        os.mkdir(self._place, 0o700)
        self.own = Stage(os.open(self._place, _OPEN))  # the one on the disk of the state
        self._by_disk[disk_of(self.own.descriptor)] = self.own
        return self

    def __exit__(self, *_: object) -> None:
        for stage in self.all():
            stage.end()
        with suppress(OSError):
            os.unlink(f"{self._place}/{_MARKS}")
        with suppress(OSError):
            os.rmdir(self._place)

    def for_directory(self, real: str) -> Stage:
        """The stage from which things can be renamed into a directory.

        Raises OSError where it is not there, PathRefused where nothing can be made.
        """
        disk = self._reach.disk(real)
        known = self._by_disk.get(disk) or self._by_place.get(real)
        if known is not None:
            return known
        top = next(above for above in _and_above(real) if self._reach.disk(above) == disk)
        try:
            found = self._by_disk[disk] = self._made_in(top)
        except PathRefused:
            if top == real:
                raise
            if len(self._by_place) >= _MOST_IN_PLACE:
                raise PathRefused("too many directories at once: the next tick goes on") from None
            found = self._by_place[real] = self._made_in(real)
        return found

    def in_place(self, real: str) -> Stage:
        """A stage in the directory itself, for use at once: the next call may end it.

        For where nothing can be renamed from that of the disk. Raises as `for_directory` does.
        """
        known = self._by_place.get(real)
        if known is not None:
            return known
        if self._last is not None:
            if self._last[0] == real:
                return self._last[1]
            self._last[1].end()
            self._last = None
        self._last = real, self._made_in(real)
        return self._last[1]

    def all(self) -> list[Stage]:
        """The stages so far: at least one on each file system that something is made for."""
        last = [self._last[1]] if self._last else []
        return [*self._by_disk.values(), *self._by_place.values(), *last]

    def _made_in(self, real: str) -> Stage:
        """Make a stage in a directory; where the file system has no owners, that is the stage.

        What went wrong once is not tried again: a directory may have thousands of files.
        """
        if real not in self._failed:
            try:
                return self._private(real) or self._beside(real)
            except OSError as error:
                self._failed[real] = f"nothing can be made there: {error.strerror}"
            except PathRefused as refused:
                self._failed[real] = refused.message
        raise PathRefused(self._failed[real])

    def _private(self, real: str) -> Stage | None:
        """Make a directory of root's alone in a directory; None where it does not come out as one.

        What comes is looked at: a user may put something else there before it is opened.
        """
        tainted, name = self._reach.is_tainted(real), f".allie-{self._token}"
        directory = os.dup(self._reach.directory(real))
        try:
            os.mkdir(name, 0o700, dir_fd=directory)
            made = Stage(os.open(name, _OPEN, dir_fd=directory), at=(directory, name))
        except OSError as error:
            os.close(directory)
            if error.errno in _SWAPPED:
                raise PathRefused(_SOMEBODY) from None
            raise
        try:
            if _is_roots_alone(made.descriptor, _OTHERS if tainted else _OTHERS_WRITE):
                if tainted:
                    self._note(_mark_of(made.descriptor))
                    os.mkdir(made.new_name(), dir_fd=made.descriptor)  # nobody can remove it now
                return made
        except OSError:
            made.end()
            raise
        made.end()
        return None

    def _beside(self, real: str) -> Stage:
        """The directory itself as a stage. Raises PathRefused where somebody swaps what is made."""
        self._note(_PLAIN)
        descriptor = os.open(".", _OPEN, dir_fd=self._reach.directory(real))
        found = Stage(descriptor, f".allie-{self._token}-")
        try:
            if self._reach.is_tainted(real):
                found.plain = True
                found.owner = _owner_of_made(found)
        except (OSError, PathRefused):
            found.end()
            raise
        return found

    def _note(self, line: str) -> None:
        """Note, on disk, what recovery is to know of a stage before anything is made on it."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(f"{self._place}/{_MARKS}", flags, 0o600)
        try:
            os.write(descriptor, f"{line}\n".encode())
            atomic.sync_file(descriptor)
        finally:
            os.close(descriptor)


def remove_left(state: str, reach: Reach, reals: Iterable[str]) -> None:
    """Remove the stages that killed transactions left. reals: the paths that they wrote to."""
    tokens = [name[len(_PREFIX) :] for name in os.listdir(state) if _is_left(name)]
    if not tokens:
        return
    places = {above for real in reals for above in _and_above(real.rpartition("/")[0])}
    for token in tokens:
        notes = atomic.read(f"{state}/{_PREFIX}{token}/{_MARKS}") or ""
        marks = set(notes.split("\n")[:-1]) - {""}  # the last line may be half a one
        for real in sorted(places):
            with suppress(OSError, PathRefused):
                _remove_in(reach, real, f".allie-{token}", marks)
            if _PLAIN in marks:
                with suppress(OSError, PathRefused):
                    _remove_plain(reach.directory(real), f".allie-{token}-")
        tree.remove(f"{state}/{_PREFIX}{token}")


def _is_left(name: str) -> bool:
    """Whether a name in the state is that of a stage: a killed transaction left it."""
    return name.startswith(_PREFIX)


def _remove_in(reach: Reach, real: str, name: str, marks: set[str]) -> None:
    """Remove a stage from a directory, with what is in it: if it is the very one that we made.

    A user can give its name to a directory of root's. If it is another one, or nobody knows, it
    goes only if it is empty.
    """
    tainted = reach.is_tainted(real)
    directory = reach.directory(real)
    stage = os.open(name, _OPEN, dir_fd=directory)
    try:
        is_ours = _mark_of(stage) in marks if tainted else os.fstat(stage).st_uid == os.geteuid()
        for made in filter(str.isdigit, os.listdir(paths.through(stage))) if is_ours else ():
            tree.remove(f"{paths.through(stage)}/{made}")
    finally:
        os.close(stage)
    os.rmdir(name, dir_fd=directory)


def _remove_plain(directory: int, prefix: str) -> None:
    """Remove what was made in a directory that was the stage itself."""
    with os.scandir(paths.through(directory)) as names:
        for each in names:
            if each.name.startswith(prefix):
                with suppress(OSError):
                    _discard(each.name, directory)


def _is_roots_alone(descriptor: int, refused: int) -> bool:
    """Whether a directory is ours, empty, and has none of the refused mode bits."""
    st = os.fstat(descriptor)
    ours = st.st_uid == os.geteuid() and not st.st_mode & refused
    return ours and not os.listdir(paths.through(descriptor))


def _owner_of_made(stage: Stage) -> int:
    """Whose a file is that root makes there: the user's on vfat, nobody's where root is that.

    It is known by its descriptor, so nobody can put another one in its place. -1 where it is
    root's, and open to others. Raises OSError, and PathRefused where it is root's alone: then
    somebody swaps what is made.
    """
    name = stage.new_name()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o600, dir_fd=stage.descriptor)
    try:
        st = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if st.st_uid != os.geteuid():
        return st.st_uid
    if not st.st_mode & _OTHERS:
        raise PathRefused(_SOMEBODY)
    return -1


def _mark_of(descriptor: int) -> str:
    """What tells a stage from any other directory; "" where its file system has but numbers."""
    mark = directory_identity.mark(descriptor)
    return "" if mark.endswith(" ") else mark


def _discard(name: str, directory: int) -> None:
    """Remove a file or an empty directory; in any other is something that is not ours."""
    try:
        os.unlink(name, dir_fd=directory)
    except IsADirectoryError:
        os.rmdir(name, dir_fd=directory)


def _and_above(real: str) -> list[str]:
    """A directory and all above it, the root ("") first."""
    names = real.split("/") if real else []
    return ["", *("/".join(names[: count + 1]) for count in range(len(names)))]
