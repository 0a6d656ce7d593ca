"""Paths inside a root: resolved as a chroot into it would, and never out of it.

Absolute links and `..` clamp at the root. What is resolved is a *real path*: relative to the root,
free of symlinks. Resolving only looks (lstat, readlink). Whatever is then read, made or removed at
a real path is reached by open directories that follow no link (`parent_descriptor`,
`machine.roots.reach`), so a link that comes in between leads nowhere.

Who may say where a path leads: docs/internals/security.md, "The way to a path".
"""

from __future__ import annotations

import errno
import os
import stat

from allie.core.errors import PathRefused
from allie.core.lean import contextmanager
from allie.core.value import TYPE_CHECKING, Value
from allie.machine.files import stood, tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MOST_LINKS = 40  # as the kernel: ELOOP beyond
_DEEPEST = 100  # levels of a real path; no tree of a system's has half of that
_NOBODY = 65534  # what an owner shows as that has no number here


class _TooDeep(PathRefused):
    """Too many links are being followed at this moment; the path itself may be a good one."""


class Place(Value):
    """Where a directory really is. It may not exist yet, or be something else still."""

    real: str
    exists: bool  # as a directory
    owner: int = 0
    tainted: bool = False  # it, or a directory above it, is not root's alone to change
    links: int = 0  # that were followed on the way


class LinkBounds(Value):
    """Whose links are followed, and which places are not entered.

    links: symlinks that ALLiE placed, by real path, with their targets. trusted: real paths of
    directories whose links are followed whoever made them. closed: mount points of users, by real
    path, with the reason why they are not entered. going: symlinks that are to become directories.
    """

    links: Mapping[str, str] = {}  # none of these is ever changed
    trusted: tuple[str, ...] = ()
    closed: Mapping[str, str] = {}
    going: frozenset[str] = frozenset()


NO_BOUNDS = LinkBounds()


class Inside:
    """Resolves paths in one root; remembers every directory that it has met.

    A directory *taints* what is below it if others than root can change its names. Below it, a
    symlink is somebody's word, and is followed only to what is that same somebody's own.

    met: what lstat said of each path on the way to what was resolved.
    """

    def __init__(self, root: str, bounds: LinkBounds = NO_BOUNDS) -> None:
        self.bounds = bounds
        self.prefix = "/" if root == "/" else root + "/"
        self.met: dict[str, str] = {}
        self._places: dict[str, Place | PathRefused] = {"": Place("", True)}
        self._following = 0  # links, one inside the other

    def directory(self, path: str) -> Place:
        """The real place of a directory (no leading slash), its own last link followed.

        Raises PathRefused where a link on the way dangles, loops, leads to no directory, or is not
        to be followed, and where a place on the way cannot be looked at.
        """
        known = self._places.get(path)
        if known is None:
            known = self._find(path)
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
        real = f"{real}/{name}" if real else name
        self._refuse_if_closed(real)
        return real

    def file(self, path: str) -> str:
        """The real path of a file, its own links followed as well; it may not exist."""
        for _ in range(_MOST_LINKS):
            real = self.entry(path)
            try:
                target = os.readlink(self.prefix + real)
            except OSError:
                return real
            place = self.parent(path)
            if place.tainted and not self._is_ours(real, place, target):
                raise PathRefused(f"/{real} is a symlink below a directory that is not root's")
            above = "" if target.startswith("/") else place.real
            path = os.path.normpath(f"/{above}/{target}").lstrip("/")
        raise PathRefused(f"/{path}: too many symlinks")

    def _find(self, path: str) -> Place | PathRefused:
        """Component by component, from the longest beginning that is known."""
        names = path.split("/")
        spelled = ""
        place: Place | PathRefused = self._places[""]
        for name in names:
            spelled = f"{spelled}/{name}" if spelled else name
            known = self._places.get(spelled)
            if known is None:
                assert isinstance(place, Place)
                try:
                    known = self._step(place, name)
                except PathRefused as refused:
                    if self._following and isinstance(refused, _TooDeep):
                        raise  # remembered, it would refuse this path to all who come another way
                    known = refused
                self._places[spelled] = known
            place = known
            if isinstance(place, PathRefused):
                self._places[path] = place
                return place
        return place

    def _step(self, parent: Place, name: str) -> Place:
        """From a directory to what is called so in it."""
        real = f"{parent.real}/{name}" if parent.real else name
        if not parent.exists:
            return parent._replace(real=real)
        if real.count("/") >= _DEEPEST:
            raise PathRefused(f"/{real[:100]}…: nested deeper than {_DEEPEST} levels")
        self._refuse_if_closed(real)
        try:
            st = os.lstat(self.prefix + real)
        except FileNotFoundError:
            self.met[real] = stood.NEITHER
            return parent._replace(real=real, exists=False)
        except OSError as error:
            self.met[real] = ""  # no lstat says this, so it always counts as changed
            raise PathRefused(f"/{real}: {error.strerror}") from error
        self.met[real] = tree.way_of(st)
        if stat.S_ISLNK(st.st_mode) and real not in self.bounds.going:
            return self._follow(real, parent, st.st_uid)
        is_directory = stat.S_ISDIR(st.st_mode)
        tainted = parent.tainted or (is_directory and stood.taints(st))
        return Place(real, is_directory, st.st_uid, tainted, parent.links)

    def _follow(self, link: str, parent: Place, owner: int) -> Place:
        if self._following >= _MOST_LINKS:
            raise _TooDeep(f"/{link}: too many symlinks")
        try:
            target = os.readlink(self.prefix + link)
        except OSError as error:
            raise PathRefused(f"/{link}: {error.strerror}") from error
        self._following += 1
        try:
            place = self._target(link, parent, target)
        finally:
            self._following -= 1
        if place.links > _MOST_LINKS:
            raise PathRefused(f"/{link}: too many symlinks")
        if parent.tainted and not self._is_ours(link, parent, target):
            one = owner == parent.owner == place.owner and owner not in (0, _NOBODY)
            below = owner == parent.owner == 0 and f"{place.real}/".startswith(f"{parent.real}/")
            if not one and not below:
                raise PathRefused(
                    f"/{link} is a symlink to {target} below a directory that is not root's;"
                    " it is not followed to what is another's (see `trusted` in allie.conf)"
                )
        return place

    def _target(self, link: str, parent: Place, target: str) -> Place:
        place = self.directory("") if target.startswith("/") else parent
        links = parent.links + 1
        for name in target.split("/"):
            if name in ("", "."):
                continue
            if name == "..":
                place = self.directory(place.real.rpartition("/")[0])
                continue
            place = self.directory(f"{place.real}/{name}" if place.real else name)
            links += place.links
            if not place.exists:
                raise PathRefused(f"/{link} is a symlink to {target}, which is no directory")
        return place._replace(links=links)

    def _is_ours(self, link: str, parent: Place, target: str) -> bool:
        """Whether a link below taint is one that ALLiE placed, or lies where links are trusted."""
        if self.bounds.links.get(link) == target:
            return True
        return any(f"{parent.real}/".startswith(f"{top}/") for top in self.bounds.trusted)

    def _refuse_if_closed(self, real: str) -> None:
        reason = self.bounds.closed.get(real)
        if reason:
            self.met[real] = ""
            raise PathRefused(f"/{real}: {reason}")


LIES_OPEN = (
    "a directory stands there that is open to others, and the overlay's is closed:"
    " give the overlay's the owner of this one (chown), or remove this one"
)


def is_closed(wanted: os.stat_result) -> bool:
    """Whether a directory of an overlay is closed to those who neither own it nor are of its group.

    What lies in it is then perhaps readable by itself.
    """
    return not wanted.st_mode & stat.S_IRWXO


def lies_open(wanted: os.stat_result, st: os.stat_result) -> bool:
    """Whether what stands in a closed directory's stead is somebody else's, or wider."""
    if st.st_uid not in (0, wanted.st_uid):
        return True
    wider = st.st_mode & ~wanted.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    return wanted.st_uid == 0 and bool(wider)


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


def status(root: str, real: str) -> os.stat_result:
    """lstat of a real path. Raises as `parent_descriptor`, and OSError where nothing stands."""
    with parent_descriptor(root, real) as (above, name):
        return os.stat(name or ".", dir_fd=above, follow_symlinks=False)


def through(descriptor: int) -> str:
    """A path that leads into a directory kept open, for what takes no descriptor (a program)."""
    return f"/proc/self/fd/{descriptor}"
