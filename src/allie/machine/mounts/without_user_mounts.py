"""Walk through trees of ours without the file systems that users have mounted in them.

A user may mount FUSE on a directory of his in another system's tree, and let every question wait:
root, too, would wait for him. So whoever walks through such a tree does so in a mount namespace of
his own, from which users' mounts are taken, and in which nothing else that is mounted below the
directory of the trees is seen, nor what is mounted later. Removing a directory takes away what is
mounted on it in any other namespace (the kernel does that since 3.18).
"""

from __future__ import annotations

import os
from _collections_abc import Iterator
from contextlib import contextmanager, suppress

from allie.core.errors import StateError
from allie.machine import libc
from allie.machine.mounts import mount_call, mount_table
from allie.machine.mounts.mount_call import BIND, NEWNS

_DETACH, _NOFOLLOW = 2, 8  # linux/fs.h: of umount2(2)
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_TRIES = 20  # a user may move the directory of his mount while we are on the way to it


@contextmanager
def apart(directory: str) -> Iterator[None]:
    """Within the block, a directory is seen without mounts in it, by this process and its children.

    What is mounted on the directory itself keeps its options, as nosuid. Where we are not root, or
    may make no namespaces, all stays as it is.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC
    places = [os.open(each, flags) for each in ("/proc/self/ns/mnt", "/", ".")]
    try:
        left = os.geteuid() == 0
        try:
            if left:
                _leave(directory)
        except StateError:
            with suppress(OSError):  # in a chroot we may be halfway
                _return(*places)
            left = False
        try:
            yield
        finally:
            if left:
                _return(*places)
    finally:
        for descriptor in places:
            os.close(descriptor)


def _leave(directory: str) -> None:
    """Go into a namespace of our own. Raises StateError where that cannot be."""
    mount_call.become_private()
    for _ in range(_TRIES):
        below = _topmost(directory)
        for point in below:
            _take_away(directory, point)
        if not below:
            break
    # What would not go is out of sight at least: this binds one mount, without those in it.
    mount_call.mount(directory, directory, "", BIND)


def _topmost(directory: str) -> list[str]:
    """What users mounted below a directory; what is mounted in that again goes with it."""
    points = [each.point for each in mount_table.parse(mount_table.read()) if each.user]
    found: list[str] = []
    for point in sorted(each for each in points if each.startswith(f"{directory}/")):
        if not found or not mount_table.is_within(point, found[-1]):
            found.append(point)
    return found


def _take_away(directory: str, point: str) -> None:
    """Unmount something for ourselves alone, without a look at it, nor a link on the way."""
    *above, name = point[len(directory) + 1 :].split("/")
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for each in above:
            below = os.open(each, _DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        path = os.fsencode(f"/proc/self/fd/{descriptor}/{name}")
        libc.call("umount2", path, _DETACH | _NOFOLLOW)
    except OSError:
        pass  # it moved
    finally:
        os.close(descriptor)


def _return(namespace: int, root: int, here: int) -> None:
    """Back to the namespace that we came from, its root and directory as they were for us."""
    libc.call("setns", namespace, NEWNS)
    os.fchdir(root)
    os.chroot(".")
    os.fchdir(here)
