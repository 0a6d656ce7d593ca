"""Read and change small things in a tree that somebody else made, and nothing outside it.

An image or another system may have any link in any place: `/etc` may lead to the machine's own, a
file of settings may be a fifo, a disk or a terabyte of holes. So a path is resolved as a chroot
into the tree would (`paths.Inside`), and what it leads to is then reached from the tree's top by
descriptors that follow no link at all. What is read is a regular file of a bounded size, and is
never waited for; what is written is a new file under a name that was free, and takes its place.

A *real* path below is one that is resolved: relative to the top, with no link on the way.
"""

from __future__ import annotations

import errno
import os
import stat
from _collections_abc import Iterator

from allie.core.errors import PathRefused
from allie.core.lean import contextmanager
from allie.machine.files import atomic, tree
from allie.machine.roots import clone, paths

PROGRAMS = ("usr/local/bin", "usr/bin", "bin", "usr/local/sbin", "usr/sbin", "sbin")
LARGEST = 1 << 20  # bytes of a file of settings
_OPEN = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def read(top: str, path: str, most: int = LARGEST) -> bytes | None:
    """A file's content, its links followed inside the tree.

    None where there is no such file, it is not a regular one, or larger than `most`.
    """
    try:
        with opened(top, path) as descriptor:
            return atomic.read_open(descriptor, most)
    except (PathRefused, OSError):
        return None


def text(top: str, path: str, most: int = LARGEST) -> str | None:
    """The same as text, undecodable bytes kept."""
    content = read(top, path, most)
    return None if content is None else content.decode(errors="surrogateescape")


@contextmanager
def opened(top: str, path: str) -> Iterator[int]:
    """Hold a regular file open for reading, its links followed inside the tree.

    Raises PathRefused where something else stands there, OSError where nothing does.
    """
    real = paths.Inside(top).file(path)
    with paths.parent_descriptor(top, real) as (above, name):
        st = os.stat(name, dir_fd=above, follow_symlinks=False)  # opening a device may move a tape
        descriptor = os.open(name, os.O_RDONLY | _OPEN, dir_fd=above) if _is_file(st) else -1
    try:
        if descriptor < 0 or not _is_file(os.fstat(descriptor)):
            raise PathRefused(f"{top}/{real} is no regular file")
        yield descriptor
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def status(top: str, path: str) -> os.stat_result | None:
    """What lstat says of what a path leads to in the tree; None where that is nothing."""
    try:
        return paths.status(top, paths.Inside(top).file(path))
    except (PathRefused, OSError):
        return None


def is_file(top: str, path: str) -> bool:
    """Whether a path leads to a regular file in the tree."""
    st = status(top, path)
    return st is not None and _is_file(st)


def program(top: str, name: str) -> str:
    """Where a tree has a program, relative to its top; "" if it has none of that name.

    name: as it is typed, or its whole path.
    """
    places = [name.lstrip("/")] if name[:1] == "/" else [f"{each}/{name}" for each in PROGRAMS]
    for place in places:
        st = status(top, place)
        if st and _is_file(st) and st.st_mode & 0o111:
            return place
    return ""


def names(top: str, path: str) -> list[str]:
    """The names in a directory, its links followed inside the tree, sorted; [] without one."""
    try:
        with directory(top, paths.Inside(top).directory(path).real) as descriptor:
            return sorted(os.listdir(descriptor))
    except (PathRefused, OSError):
        return []


def listing(top: str, path: str) -> Iterator[tuple[str, bool]]:
    """Every name below a directory, as `tree.listing`; nothing where there is none."""
    try:
        with directory(top, paths.Inside(top).directory(path).real) as descriptor:
            yield from tree.listing(paths.through(descriptor))
    except (PathRefused, FileNotFoundError):
        return


@contextmanager
def directory(top: str, real: str) -> Iterator[int]:
    """Hold the directory at a real path open."""
    flags = os.O_RDONLY | os.O_DIRECTORY | _OPEN
    if not real:
        descriptor = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    else:
        with paths.parent_descriptor(top, real) as (above, name):
            descriptor = os.open(name, flags, dir_fd=above)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def make_directories(top: str, real: str) -> None:
    """Make the directories of a real path that are not there."""
    done = ""
    for name in filter(None, real.split("/")):
        done = f"{done}/{name}" if done else name
        with paths.parent_descriptor(top, done) as (above, last):
            try:
                os.mkdir(last, 0o755, dir_fd=above)
            except FileExistsError:
                continue
            os.chmod(f"{paths.through(above)}/{last}", 0o755)  # whatever the umask


def write(top: str, real: str, body: bytes, mode: int | None = 0o644) -> None:
    """Make a file hold something, by a new one that takes its place.

    mode: the file's; None: owner, mode, ACLs and attributes of the one that stands there.
    Raises StateError, with the path, where that cannot be.
    """
    try:
        with paths.parent_descriptor(top, real) as (above, name):
            new = f".{name[:200]}.allie0"
            _free(above, new)
            try:
                _fill(above, new, body, mode)
                if mode is None:
                    place = paths.through(above)
                    clone.describe_as(f"{place}/{name}", f"{place}/{new}", times=False)
                os.rename(new, name, src_dir_fd=above, dst_dir_fd=above)
            except OSError:
                _free(above, new)
                raise
    except OSError as error:
        raise atomic.refused(f"cannot write {top}/{real}", error) from error


def _fill(above: int, new: str, body: bytes, mode: int | None) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN
    with os.fdopen(os.open(new, flags, 0o600, dir_fd=above), "wb") as file:
        file.write(body)
        if mode is not None:
            os.fchmod(file.fileno(), mode)


def remove(top: str, real: str) -> None:
    """Remove what stands at a real path, of a directory all that is in it."""
    try:
        with paths.parent_descriptor(top, real) as (above, name):
            tree.remove(f"{paths.through(above)}/{name}")
    except FileNotFoundError:
        pass


def _free(above: int, name: str) -> None:
    """Take away what an earlier try, or whoever made the tree, left under a name of ours."""
    try:
        os.unlink(name, dir_fd=above)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in (errno.EISDIR, errno.EPERM):
            raise
        tree.remove(f"{paths.through(above)}/{name}")


def _is_file(st: os.stat_result) -> bool:
    return stat.S_ISREG(st.st_mode)
