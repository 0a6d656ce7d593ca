"""The next version of an image, made beside the present one, in images/.parts/NAME/.

A mirror of a store makes the next version of its overlays and releases in the same way.

    tree/        the version in the making; becomes images/NAME by one rename
    earlier.N/   attempts that were cut short: what they have is linked, and not brought again
    source/      an archive's content on its way
    old/         what was the image until now: it goes once nobody reads it any more
    boot         made with the first attempt: it shows whether the disk keeps fractions of a second

So an image is complete or absent. The name begins with a dot: it is no image's name, and no PC
sees it (`serve`). Files of tree/ may be hard links to the present version's: they are replaced,
never written into, and never get other attributes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from allie.core.conf import settings
from allie.core.errors import Busy, StateError
from allie.core.value import Value
from allie.machine.disk import tree_copies
from allie.machine.files import atomic, lock, removing, tree
from allie.machine.mounts import mount_table
from allie.machine.namespaces import processes_inside
from allie.server.store import HIDDEN

_MOST = 8  # earlier attempts that are kept; rsync links to 20 places at most


class Draft(Value):
    """An image's next version, which we alone work on."""

    image: str  # where it will be
    top: str
    tree: str  # the version in the making
    old: str  # the version that was replaced
    source: str  # what an archive holds, until its root is made of it

    @property
    def links(self) -> list[str]:
        """Trees that may hold the wanted files already, the present version first."""
        there = [self.image] if os.path.isdir(self.image) else []
        return there + [f"{self.top}/{name}" for name in _earlier(self.top)]


@contextmanager
def begun(store: str, name: str, module: str = "images") -> Iterator[Draft]:
    """Work on the next version of an image, or of what else a module has by a name.

    Raises Busy if somebody else does.
    """
    kind = module.partition("/")[0][:-1]
    image = f"{store}/{module}/{settings.check_name(name, kind)}"
    if os.path.islink(image):
        raise StateError(f"{image} is a symlink", f"work on the {kind} that it leads to")
    _need_no_mount(image)
    top = f"{store}/{module}/{HIDDEN}/{name}"
    _need_no_mount(top)
    os.makedirs(os.path.dirname(top), 0o700, exist_ok=True)
    os.makedirs(top, 0o700, exist_ok=True)
    _sweep(os.path.dirname(top), but=name)
    busy = Busy(f"somebody else is working on {kind} {name}", "wait until that has ended")
    with lock.of_directory(top, lambda: busy):
        if not os.path.exists(f"{top}/boot"):
            atomic.write(f"{top}/boot", "", durable=False)
        try:
            _clear_old(image, top)
            yield Draft(image, top, f"{top}/tree", f"{top}/old", f"{top}/source")
        finally:
            _tidy(top)


def fresh(work: Draft) -> None:
    """Make an empty tree; one that is there already was cut short, and is an earlier one now.

    It must not be filled further: rsync would change the attributes of files that the present
    version shares with it.
    """
    if os.path.lexists(work.tree):
        names = _earlier(work.top)
        number = int(names[-1].partition(".")[2]) + 1 if names else 0
        os.rename(work.tree, f"{work.top}/earlier.{number:06}")
        _thin_out(work)
    os.mkdir(work.tree, 0o755)
    os.chmod(work.tree, 0o755)  # whatever the umask


def empty(work: Draft) -> None:
    """Make an empty tree, and forget all earlier attempts."""
    for name in os.listdir(work.top):
        if name != "boot":
            tree_copies.discard(f"{work.top}/{name}")
    fresh(work)


def switch(work: Draft) -> None:
    """Make the tree the image, in one step, once all of it is on the disk.

    Its top is root's, and open to read: whatever directory or archive it came from, it will be `/`.
    """
    os.chown(work.tree, 0, 0)
    os.chmod(work.tree, os.stat(work.tree).st_mode & 0o755 | 0o555)
    switch_as_it_is(work)


def switch_as_it_is(work: Draft) -> None:
    """The same with the owner and mode that its top has.

    A PC may be in the middle of reading what it replaces. That stays, out of sight, until nobody is
    at work in it: rsync stands in the directory that it sends, and does not mind that it was moved.
    """
    atomic.sync_filesystem(work.tree)
    tree_copies.discard(work.old)  # of the version before: whoever still reads that begins again
    if os.path.lexists(work.image):
        atomic.swap(work.image, work.tree, work.old)
        os.rename(work.tree, work.old)
    else:
        os.rename(work.tree, work.image)
    atomic.sync_directory(os.path.dirname(work.image))
    drop(work)


def withdraw(work: Draft) -> None:
    """Remove what is there, and all that was prepared: it is there, whole, or it is not."""
    empty(work)
    os.rename(work.image, work.tree)
    atomic.sync_directory(os.path.dirname(work.image))
    drop(work)


def drop(work: Draft) -> None:
    """Remove all that was prepared, or what it replaced. What cannot be removed is set aside."""
    _need_no_mount(work.top)
    _remove(work.top)


def names(store: str, module: str) -> list[str]:
    """Of what there is a draft, or something left of one, in a module."""
    return sorted(tree.names(f"{store}/{module}/{HIDDEN}"))


def unfinished(store: str) -> list[str]:
    """The names of images that something was left of: an import was cut short."""
    top = f"{store}/images/{HIDDEN}"
    return [name for name in names(store, "images") if _holds_work(f"{top}/{name}")]


def _clear_old(image: str, top: str) -> None:
    """Finish a switch that was cut short: the old version goes, or comes back if none is there.

    It goes when nobody reads it any more.
    """
    old = f"{top}/old"
    if os.path.isdir(old) and not os.path.lexists(image):
        os.rename(old, image)
    if not processes_inside.at_work(old):
        tree_copies.discard(old)
    tree_copies.discard_aside(f"{top}/")


def _sweep(drafts: str, but: str) -> None:
    """Of all drafts but one, remove what was replaced, and was still being read by somebody then.

    Where nothing took its place the switch was cut short, and it may be all that there is.
    """
    busy = Busy("")
    for name in set(tree.names(drafts)) - {but}:
        top, image = f"{drafts}/{name}", f"{os.path.dirname(drafts)}/{name}"
        if os.path.isdir(f"{top}/old") and os.path.lexists(image) and not _holds_work(top):
            with suppress(Busy, OSError), lock.of_directory(top, lambda: busy):
                if _content(top) <= {"old"}:
                    _remove(top)


def _holds_work(top: str) -> bool:
    """Whether a draft holds more than what is on its way out, and nobody is at it."""
    try:
        if _content(top) <= {"old"}:
            return False
    except OSError:
        return False  # it has just ended
    return not lock.is_taken(top)


def _tidy(top: str) -> None:
    """Remove a draft into which nothing was brought."""
    try:
        os.rmdir(f"{top}/tree")
    except OSError:
        pass  # it is not there, or not empty
    if os.path.isdir(top) and not _content(top):
        _remove(top)


def _content(top: str) -> set[str]:
    """What a draft holds, but for its notes, and for what could not be removed."""
    names = {name for name in os.listdir(top) if not removing.is_aside(name)}
    return names - {"boot", "rsync"}


def _remove(top: str) -> None:
    """Remove a draft; it stays, with what is set aside in it, where that cannot be removed."""
    for name in os.listdir(top):
        is_read = name == "old" and processes_inside.at_work(f"{top}/{name}")
        if not removing.is_aside(name) and not is_read:
            tree_copies.discard(f"{top}/{name}")
    if not os.listdir(top):
        os.rmdir(top)


def _thin_out(work: Draft) -> None:
    """Of too many attempts, drop the one that came least far."""
    names = _earlier(work.top)
    if len(names) > _MOST:
        counts = {name: sum(1 for _ in tree.listing(f"{work.top}/{name}")) for name in names}
        tree_copies.discard(f"{work.top}/{min(names, key=lambda name: counts[name])}")


def _earlier(top: str) -> list[str]:
    return sorted(name for name in os.listdir(top) if name.startswith("earlier."))


def _need_no_mount(path: str) -> None:
    point = mount_table.at_or_below(path)
    if point:
        raise StateError(f"{point} is mounted; nothing below it is touched", f"umount {point}")
