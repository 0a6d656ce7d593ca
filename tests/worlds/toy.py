"""Trees written down as a dict, and the smallest root: twelve files, no program in it.

A path is given relative to the top, as text or, for names that are not UTF-8, as bytes:

    make_tree(top, {"etc/motd": "hello\\n", "bin": Link("usr/bin"), b"etc/\\xff": b"odd name"})
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Union


class File(NamedTuple):
    """A regular file; `size` longer than the content leaves a hole at its end (sparse)."""

    content: str | bytes = b""
    mode: int = 0o644
    owner: tuple[int, int] | None = None
    mtime: float | None = None
    xattrs: Mapping[str, bytes] = {}
    size: int | None = None


class Dir(NamedTuple):
    """A directory whose own mode or owner matters; other directories are made as needed, 0755."""

    mode: int = 0o755
    owner: tuple[int, int] | None = None
    xattrs: Mapping[str, bytes] = {}


class Link(NamedTuple):
    """A symbolic link."""

    target: str | bytes


class Hard(NamedTuple):
    """A hard link to another path of the same tree, which may come later in the dict."""

    to: str | bytes


class Fifo(NamedTuple):
    """A named pipe."""

    mode: int = 0o644


class Device(NamedTuple):
    """A device node; making one needs root."""

    major: int
    minor: int
    mode: int = stat.S_IFCHR | 0o600


Entry = Union[str, bytes, File, Dir, Link, Hard, Fifo, Device]
Tree = Mapping[Union[str, bytes], Entry]


def make_tree(top: Path, tree: Tree) -> Path:
    """Make what the dict says under `top`, over what is there already; returns `top`.

    Hard links come last, when what they name is there; the modes of directories come last of all,
    deepest first, so that one without write permission can still be filled.
    """
    top.mkdir(parents=True, exist_ok=True)
    for name, entry in tree.items():
        if not isinstance(entry, Hard):
            _make(top / os.fsdecode(name), entry)
    for name, entry in tree.items():
        if isinstance(entry, Hard):
            path = top / os.fsdecode(name)
            _make_room(path)
            os.link(top / os.fsdecode(entry.to), path, follow_symlinks=False)
    for name, entry in sorted(tree.items(), key=lambda item: -len(os.fsencode(item[0]))):
        if isinstance(entry, Dir):
            (top / os.fsdecode(name)).chmod(entry.mode)
    return top


def _make(path: Path, entry: Entry) -> None:
    if isinstance(entry, Dir):
        path.mkdir(parents=True, exist_ok=True)
        _dress(path, entry.owner, entry.xattrs)
        return
    _make_room(path)
    if isinstance(entry, Link):
        os.symlink(os.fsencode(entry.target), os.fsencode(path))
    elif isinstance(entry, Fifo):
        os.mkfifo(path)
        path.chmod(entry.mode)
    elif isinstance(entry, Device):
        os.mknod(path, entry.mode, os.makedev(entry.major, entry.minor))
        path.chmod(stat.S_IMODE(entry.mode))
    elif isinstance(entry, File):
        _make_file(path, entry)
    elif not isinstance(entry, Hard):
        _make_file(path, File(entry))


def _make_file(path: Path, file: File) -> None:
    path.write_bytes(file.content if isinstance(file.content, bytes) else file.content.encode())
    if file.size is not None:
        os.truncate(path, file.size)
    _dress(path, file.owner, file.xattrs)
    path.chmod(file.mode)  # after chown, which takes setuid bits away
    if file.mtime is not None:
        os.utime(path, (file.mtime, file.mtime))


def _dress(path: Path, owner: tuple[int, int] | None, xattrs: Mapping[str, bytes]) -> None:
    if owner is not None:
        os.chown(path, *owner)
    for name, value in xattrs.items():  # after chown, which takes security.capability away
        os.setxattr(path, name, value)


def _make_room(path: Path) -> None:
    """Its parent is there, and no old file or link: a new entry never writes through a link."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(path) and (path.is_symlink() or not path.is_dir()):
        path.unlink()


OS_RELEASE = """\
PRETTY_NAME="Toy GNU/Linux 1"
NAME="Toy GNU/Linux"
VERSION_ID="1"
ID=toy
ID_LIKE=debian
"""

TOY: Tree = {
    "bin": Link("usr/bin"),
    "sbin": Link("usr/sbin"),
    "lib": Link("usr/lib"),
    "root": Dir(0o700),
    "tmp": Dir(0o1777),
    "run": Dir(),
    "proc": Dir(0o555),
    "var/run": Link("/run"),  # an absolute symlink to a directory, as on every Debian
    "var/lib": Dir(),
    "etc/os-release": Link("../usr/lib/os-release"),
    "usr/lib/os-release": OS_RELEASE,
    "etc/hostname": "toy\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n",
    "etc/group": "root:x:0:\nann:x:1000:\n",
    "etc/shadow": File("root:*:19000:0:99999:7:::\n", 0o640),
    "etc/machine-id": "",
    "etc/motd": "Welcome.\n",
    "usr/bin/true": File("#!/bin/sh\n", 0o755),
    "usr/bin/sh": File("not a real shell\n", 0o755),
    "usr/sbin/nologin": File("#!/bin/sh\nexit 1\n", 0o755),
}


def toy_root(top: Path, tree: Tree | None = None) -> Path:
    """The toy root at `top`, with `tree` over it; returns `top`."""
    make_tree(top, TOY)
    return make_tree(top, tree or {})
