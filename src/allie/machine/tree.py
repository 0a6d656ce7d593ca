"""Trees and the files in them: list, describe, digest, remove."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from itertools import chain

from allie.core import digest
from allie.core.ledger import DIRECTORY, NOTHING, Seen, Source

_CHUNK = 1 << 20  # bytes, of what is read for its digest
NEITHER = "n"  # of a path: no directory, no symlink, perhaps nothing
# Attributes that are the machine's own, not the file's: never compared, never carried (RULES B3).
FOREIGN_XATTRS = ("security.selinux", "security.ima")
FOREIGN_XATTR_PREFIX = "trusted.overlay."


def listing(top: str) -> Iterator[tuple[str, bool]]:
    """Every name below `top`, as (relative path, is a directory); parents come before children.

    Symlinks are listed, never walked through.
    """
    pending = [""]
    while pending:
        above = pending.pop()
        prefix = above + "/" if above else ""
        with os.scandir(f"{top}/{above}") as names:
            for each in names:
                is_dir = each.is_dir(follow_symlinks=False)
                path = prefix + each.name
                yield path, is_dir
                if is_dir:
                    pending.append(path)


def status(path: str) -> os.stat_result | None:
    """lstat, or None where nothing stands."""
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def is_directory(st: os.stat_result) -> bool:
    """Whether an lstat is a directory's."""
    return stat.S_ISDIR(st.st_mode)


def is_regular(st: os.stat_result) -> bool:
    """Whether an lstat is a regular file's."""
    return stat.S_ISREG(st.st_mode)


def has_links(path: str) -> bool:
    """Whether a file has another name somewhere."""
    st = os.lstat(path)
    return st.st_nlink > 1 and not stat.S_ISDIR(st.st_mode)


def seen_of(st: os.stat_result) -> Seen:
    """The part of an lstat that vouches for a file in the root."""
    return (
        f"{st.st_ino} {st.st_ctime_ns} {st.st_size} {st.st_mtime_ns}"
        f" {st.st_mode:o} {st.st_uid} {st.st_gid}"
    )


def way_of(st: os.stat_result) -> str:
    """The part of an lstat that tells where a path through here leads."""
    if stat.S_ISLNK(st.st_mode):
        return seen_of(st)
    return DIRECTORY if stat.S_ISDIR(st.st_mode) else NEITHER


def source_of(path: str, st: os.stat_result) -> Source:
    """What identifies a file of a generation, from its lstat.

    A directory has no times, and is changed in place: what may change with it is its attributes.
    """
    if stat.S_ISDIR(st.st_mode):
        return f"{st.st_ino} 0 0 {attributes_digest(path, st)}"
    return f"{st.st_ino} {st.st_size} {st.st_mtime_ns} {st.st_mode:o} {st.st_uid} {st.st_gid}"


def content_digest(path: str, st: os.stat_result) -> str:
    """What a file holds, as a short text: its kind, and the digest or target or device number."""
    mode = st.st_mode
    if stat.S_ISREG(mode):
        return "f:" + file_digest(path)
    if stat.S_ISDIR(mode):
        return DIRECTORY
    if stat.S_ISLNK(mode):
        return "l:" + os.readlink(path)
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        kind = "c" if stat.S_ISCHR(mode) else "b"
        return f"{kind}:{os.major(st.st_rdev)},{os.minor(st.st_rdev)}"
    return "p" if stat.S_ISFIFO(mode) else "s"


def file_digest(path: str) -> str:
    """The sha256 of a regular file; a large one is read in pieces."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        first = file.read(_CHUNK)
        if len(first) < _CHUNK:
            return digest.of(first)
        return digest.of_pieces(chain([first], iter(lambda: file.read(_CHUNK), b"")))


def attributes_digest(path: str, st: os.stat_result) -> str:
    """Mode, owner and group, and a digest of ACLs and extended attributes if there are any."""
    text = f"{stat.S_IMODE(st.st_mode):04o} {st.st_uid} {st.st_gid}"
    extended = xattrs(path)
    if not extended:
        return text
    parts = [
        f"{name}\0{len(value)}\0".encode(errors="surrogateescape") + value
        for name, value in sorted(extended.items())
    ]
    return f"{text} {digest.of(b''.join(parts))[:16]}"


def xattrs(path: str, *, follow: bool = False) -> dict[str, bytes]:
    """The extended attributes of a file that are its own (ACLs and capabilities are among them)."""
    try:
        names = os.listxattr(path, follow_symlinks=follow)
        return {
            name: os.getxattr(path, name, follow_symlinks=follow)
            for name in names
            if name not in FOREIGN_XATTRS and not name.startswith(FOREIGN_XATTR_PREFIX)
        }
    except OSError:  # a file system that has none
        return {}


def describe(path: str) -> tuple[str, str]:
    """(content digest, attributes digest) of whatever stands at a path; NOTHING if nothing does."""
    st = status(path)
    if st is None:
        return NOTHING, ""
    return content_digest(path, st), attributes_digest(path, st)


def of_size(size: int) -> str:
    """As content: a file known to be neither ours nor wanted by its size alone, and not read."""
    return f"f:of {size} bytes"


def is_state(path: str, state: tuple[str, str]) -> bool:
    """Whether a path is in a state noted before, which may know the size of its file alone."""
    st = status(path)
    if st is not None and stat.S_ISREG(st.st_mode) and state[0] == of_size(st.st_size):
        return attributes_digest(path, st) == state[1]
    return describe(path) == state


def remove(path: str) -> None:
    """Remove a file, or a whole tree of our own; follows no symlink; silent if it is not there."""
    st = status(path)
    if st is None:
        return
    if not stat.S_ISDIR(st.st_mode):
        os.unlink(path)
        return
    for _, _, files, descriptor in os.fwalk(path, topdown=False):
        for name in files:
            os.unlink(name, dir_fd=descriptor)
        with os.scandir(descriptor) as names:
            directories = [(each.name, each.is_dir(follow_symlinks=False)) for each in names]
        for name, is_dir in directories:
            if is_dir:
                os.rmdir(name, dir_fd=descriptor)
            else:  # a symlink to a directory
                os.unlink(name, dir_fd=descriptor)
    os.rmdir(path)
