"""Files of a mounted file system whose names are not to be trusted: nothing leads out of it.

The boot partition is one: another system of the PC, or whoever had its disk in his hands, may have
put a link there, a fifo, or a file without an end. So every path is opened below the mount, through
no link and no other mount (machine.files.beneath); only regular files are read, to a bound, and
never waited for; and what is written gets its name by a rename in a directory that is kept open.
"""

from __future__ import annotations

import errno
import os
import stat
from _collections_abc import Iterator
from contextlib import contextmanager

from allie.core.errors import AllieError, StateError
from allie.core.value import TYPE_CHECKING
from allie.machine import libc
from allie.machine.files import atomic, beneath, tree
from allie.machine.mounts import mount_call, mount_table
from allie.machine.roots import paths

if TYPE_CHECKING:
    from typing import IO

_MOST = 1 << 20  # bytes of a file that is read whole
_MOST_NAMES = 10_000  # in one directory
_PIECE = 1 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_REFUSED = {
    errno.ELOOP: "is a symlink, or below one",
    errno.EXDEV: "is on another file system",
    errno.ENOTDIR: "is no directory, or below a file",
}


class Astray(AllieError):
    """A path on it leads elsewhere, or to what is no file or directory: nothing was done there."""


class Volume:
    """What is mounted at a directory, for as long as it is kept open."""

    def __init__(self, at: str, flags: int = 0) -> None:
        self.at = at
        self._flags = flags  # that it was mounted with
        self._top = os.open(at, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)

    def close(self) -> None:
        """Let go of it."""
        os.close(self._top)

    def read(self, path: str, most: int = _MOST) -> bytes | None:
        """A regular file's bytes; None if there is none there, or a longer one."""
        try:
            file = self._open(path, os.O_RDONLY | os.O_NONBLOCK)
        except (OSError, Astray):
            return None
        try:
            return atomic.read_open(file, most) if stat.S_ISREG(os.fstat(file).st_mode) else None
        except OSError:
            return None
        finally:
            os.close(file)

    def text(self, path: str) -> str:
        """The same as text; "" where there is none."""
        return (self.read(path) or b"").decode(errors="surrogateescape")

    def status(self, path: str) -> os.stat_result | None:
        """lstat of a path; None where nothing stands that could be reached."""
        try:
            found = self._open(path, os.O_PATH | os.O_NOFOLLOW)
        except (OSError, Astray):
            return None
        try:
            return os.fstat(found)
        finally:
            os.close(found)

    def is_directory(self, path: str) -> bool:
        """Whether a directory stands there, and no link to one."""
        status = self.status(path)
        return status is not None and stat.S_ISDIR(status.st_mode)

    def is_file(self, path: str) -> bool:
        """Whether a regular file stands there, and no link to one."""
        status = self.status(path)
        return status is not None and stat.S_ISREG(status.st_mode)

    def names(self, path: str) -> list[str]:
        """What a directory holds; [] where there is none. Raises Astray."""
        try:
            with self._directory(path) as place, os.scandir(place) as found:
                names = [each.name for each, _ in zip(found, range(_MOST_NAMES + 1))]
        except FileNotFoundError:
            return []
        if len(names) > _MOST_NAMES:
            raise Astray(f"{self.at}/{path}: more than {_MOST_NAMES} names in it", "empty it")
        return sorted(names)

    def make(self, path: str, mode: int = 0o755) -> None:
        """Have a directory, and all above it. Raises Astray where something else stands."""
        made = ""
        for name in path.strip("/").split("/"):
            with self._directory(made) as place:
                try:
                    os.mkdir(name, mode, dir_fd=place)
                except FileExistsError:
                    pass
                except OSError as error:
                    raise self._failed(f"{made}/{name}", error) from error
            made = f"{made}/{name}"
        with self._directory(made):
            pass

    def write(self, path: str, data: str | bytes, mode: int = 0o644) -> None:
        """Make a file hold this: written beside it, synced, renamed. Raises StateError."""
        body = data.encode(errors="surrogateescape") if isinstance(data, str) else data
        with self._new(path, mode) as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())

    def bring(self, source: int, path: str) -> None:
        """Copy an open file to here, with its time: under its name once all of it is synced."""
        status = os.fstat(source)
        with self._new(path, 0o644) as file:
            left = status.st_size  # it may grow meanwhile
            while left > 0 and (piece := os.read(source, min(_PIECE, left))):
                left -= file.write(piece)
            file.flush()
            os.utime(file.fileno(), ns=(status.st_mtime_ns, status.st_mtime_ns))
            self.sync()  # before it has its name: the next run trusts size and time

    @contextmanager
    def _new(self, path: str, mode: int) -> Iterator[IO[bytes]]:
        """A file to be written beside a path, whose name it gets after that. Raises StateError."""
        with self._parent(path) as (place, name):
            beside = f"{name}.part"
            try:
                _unlink(beside, place)
                with os.fdopen(os.open(beside, _NEW, mode, dir_fd=place), "wb") as file:
                    yield file
                os.rename(beside, name, src_dir_fd=place, dst_dir_fd=place)
                os.fsync(place)
            except OSError as error:
                raise self._failed(path, error) from error

    def remove(self, path: str) -> bool:
        """Remove what stands at a path, a tree too, and follow no link; whether there was any."""
        status = self.status(path)
        if status is None:
            return False
        with self._parent(path) as (place, name):
            if stat.S_ISDIR(status.st_mode):
                tree.remove(f"{paths.through(place)}/{name}")
                return True
            return _unlink(name, place)

    def sync(self) -> None:
        """Have all that was written on the disk. Raises StateError."""
        with self._directory("") as place:
            atomic.sync_descriptor(place, self.at)

    def settle(self) -> None:
        """Have what was written stand where it is read without a journal (GRUB): ro, and rw."""
        if self.at not in mount_table.points():
            return
        again = mount_call.REMOUNT | self._flags
        mount_call.mount("none", self.at, "", again | mount_call.RDONLY)
        if not mount_call.mount("none", self.at, "", again):
            raise StateError(f"cannot write on {self.at} any more: {libc.last_error()}")

    @contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        above, _, name = path.strip("/").rpartition("/")
        with self._directory(above) as place:
            yield place, name

    @contextmanager
    def _directory(self, path: str) -> Iterator[int]:
        place = self._open(path, _DIRECTORY)
        try:
            yield place
        finally:
            os.close(place)

    def _open(self, path: str, flags: int) -> int:
        try:
            return beneath.open_beneath(self._top, path.strip("/"), flags)
        except OSError as error:
            if error.errno in _REFUSED:
                place = f"{self.at}/{path.strip('/')}"
                raise Astray(f"{place} {_REFUSED[error.errno]}", "remove it") from error
            raise

    def _failed(self, path: str, error: OSError) -> StateError:
        return StateError(f"cannot write {self.at}/{path.strip('/')}: {error.strerror}")


def _unlink(name: str, place: int) -> bool:
    try:
        os.unlink(name, dir_fd=place)
    except FileNotFoundError:
        return False
    return True


@contextmanager
def opened(at: str, flags: int = 0) -> Iterator[Volume]:
    """What is mounted at a directory; flags: those that it was mounted with."""
    volume = Volume(at, flags)
    try:
        yield volume
    finally:
        volume.close()
