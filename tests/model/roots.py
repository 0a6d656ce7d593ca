"""The roots of the histories: kinds of file systems, and places on them that refuse.

All of it is mounted in the mount namespace of the history's own process, and ends with it.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import subprocess
from contextlib import suppress
from pathlib import Path

KINDS = ("disk", "overlayfs", "tmpfs", "ramfs")  # ramfs: without attributes, counts nothing
_GETFLAGS, _SETFLAGS, _IMMUTABLE = 0x80086601, 0x40086602, 0x10  # linux/fs.h
_NEWNS, _REC_PRIVATE = 0x20000, 0x44000
_libc = ctypes.CDLL(None, use_errno=True)


def apart() -> None:
    """From here on, what this process mounts is its own."""
    if _libc.unshare(_NEWNS) or _libc.mount(b"none", b"/", None, _REC_PRIVATE, None):
        raise OSError(ctypes.get_errno(), "unshare")


def before(kind: str, top: Path) -> Path:
    """Where the root's files are to be made."""
    root = top / ("lower" if kind == "overlayfs" else "root")
    root.mkdir()
    if kind in ("tmpfs", "ramfs"):
        _mount("-t", kind, kind, root)
    return root


def after(kind: str, top: Path) -> Path:
    """The root, once its files are made."""
    root = top / "root"
    if kind == "overlayfs":
        for name in ("upper", "work", "root"):
            (top / name).mkdir()
        places = f"lowerdir={top}/lower,upperdir={top}/upper,workdir={top}/work"
        _mount("-t", "overlay", "-o", places, "overlay", root)
    return root


def shut(how: str, place: Path) -> bool:
    """Let a place refuse: "immutable", "readonly", "dead"; whether this could be done."""
    if how == "immutable":
        return not place.is_symlink() and _immutable(place, True)
    if not place.is_dir() or place.is_symlink():
        return False
    if how == "readonly":
        _mount("--bind", place, place)
        _mount("-o", "remount,bind,ro", place)
        return True
    fuse = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0".encode()
    failed = _libc.mount(b"dead", os.fsencode(place), b"fuse", 0, options)
    os.close(fuse)  # nobody answers for it any more
    return not failed


def reopen(how: str, place: Path) -> None:
    """End what `shut` did."""
    if how == "immutable":
        _immutable(place, False)
    else:
        subprocess.run(["umount", "-l", str(place)], check=True)


def _mount(*words: object) -> None:
    subprocess.run(["mount", *map(str, words)], check=True)


def _immutable(place: Path, on: bool) -> bool:
    with suppress(OSError):
        descriptor = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        try:
            flags = bytearray(fcntl.ioctl(descriptor, _GETFLAGS, bytes(8)))
            flags[0] = flags[0] | _IMMUTABLE if on else flags[0] & ~_IMMUTABLE
            fcntl.ioctl(descriptor, _SETFLAGS, bytes(flags))
            return True
        finally:
            os.close(descriptor)
    return False
