"""Paths inside a root: resolved as a chroot into it would, and never out of it (RULES A6).

Absolute links and `..` clamp at the root. What is resolved is a *real path*: relative to the root,
free of symlinks. Everything that ALLiE removes or moves itself goes through `parent_descriptor`,
which holds each directory open and follows no link.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from allie.core.errors import PathRefused
from allie.core.value import Value
from allie.machine import tree

_MOST_LINKS = 40  # as the kernel: ELOOP beyond


class Place(Value):
    """Where a directory really is. It may not exist yet, or be something else still."""

    real: str
    exists: bool  # as a directory


class Inside:
    """Resolves paths in one root; remembers every directory that it has met.

    met: what lstat said of each path on the way to what was resolved. going: real paths of symlinks
    that are to become directories, and so are not followed.
    """

    def __init__(self, root: str, going: frozenset[str] = frozenset()) -> None:
        self._going = going
        self.prefix = "/" if root == "/" else root + "/"
        self.met: dict[str, str] = {}
        self._places: dict[str, Place | PathRefused] = {"": Place("", True)}

    def directory(self, path: str) -> Place:
        """The real place of a directory (no leading slash), its own last link followed.

        Raises PathRefused where a link on the way dangles, loops or leads to no directory.
        """
        known = self._places.get(path)
        if known is None:
            known = self._places[path] = self._find(path)
        if isinstance(known, PathRefused):
            raise known
        return known

    def parent(self, path: str) -> Place:
        """The real place of the directory that a path is in."""
        return self.directory(path.rpartition("/")[0])

    def entry(self, path: str) -> str:
        """The real path of a file: its parent resolved, its own name not followed."""
        above, _, name = path.rpartition("/")
        real = self.directory(above).real
        return f"{real}/{name}" if real else name

    def file(self, path: str) -> str:
        """The real path of a file, its own links followed as well; it may not exist."""
        for _ in range(_MOST_LINKS):
            real = self.entry(path)
            try:
                target = os.readlink(self.prefix + real)
            except OSError:
                return real
            above = "" if target.startswith("/") else real.rpartition("/")[0]
            path = os.path.normpath(f"/{above}/{target}").lstrip("/")
        raise PathRefused(f"/{path}: too many symlinks")

    def _find(self, path: str) -> Place | PathRefused:
        try:
            return self._walk(path, [0])
        except PathRefused as refused:
            return refused

    def _walk(self, path: str, links: list[int]) -> Place:
        above, _, name = path.rpartition("/")
        parent = self._walk(above, links) if above else Place("", True)
        real = f"{parent.real}/{name}" if parent.real else name
        if not parent.exists:
            return Place(real, False)
        try:
            st = os.lstat(self.prefix + real)
        except FileNotFoundError:
            self.met[real] = tree.NEITHER
            return Place(real, False)
        except OSError as error:
            self.met[real] = ""  # as nothing ever is
            raise PathRefused(f"/{real}: {error.strerror}") from error
        self.met[real] = tree.way_of(st)
        if not stat.S_ISLNK(st.st_mode) or real in self._going:
            return Place(real, stat.S_ISDIR(st.st_mode))
        links[0] += 1
        if links[0] > _MOST_LINKS:
            raise PathRefused(f"/{real}: too many symlinks")
        return self._follow(real, links)

    def _follow(self, link: str, links: list[int]) -> Place:
        target = os.readlink(self.prefix + link)
        base = "" if target.startswith("/") else link.rpartition("/")[0]
        place = Place(base, True)
        for name in target.split("/"):
            if name in ("", "."):
                continue
            if name == "..":
                place = Place(place.real.rpartition("/")[0], True)
                continue
            place = self._walk(f"{place.real}/{name}" if place.real else name, links)
            if not place.exists:
                raise PathRefused(f"/{link} is a symlink to {target}, which is no directory")
        return place


def real_location(root: str, path: str) -> str:
    """The absolute path of a directory of ALLiE's own inside a root, links resolved in the root."""
    inside = Inside(root)
    return inside.prefix + inside.directory(path).real


@contextmanager
def parent_descriptor(root: str, real: str) -> Iterator[tuple[int, str]]:
    """Hold open the directory of a real path, having followed no link: (descriptor, name).

    Raises PathRefused where a component is not, or no longer, a directory.
    """
    *above, name = real.split("/")
    descriptor = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for component in above:
            flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            below = os.open(component, flags, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor, name
    except NotADirectoryError as error:
        raise PathRefused(f"/{real}: a directory above it is none any more") from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise PathRefused(f"/{real}: a directory above it became a symlink") from error
        raise
    finally:
        os.close(descriptor)


def through(descriptor: int) -> str:
    """A path that leads into a directory held open, for what takes no descriptor (a program)."""
    return f"/proc/self/fd/{descriptor}"


def beside(real: str) -> str:
    """The path beside another under which it comes, or a tree goes: a name that is ALLiE's own."""
    above, slash, name = real.rpartition("/")
    return f"{above}{slash}.{name[name.startswith('.') :]}.allie0"
