"""Trees and the files in them: list, describe, digest, remove.

docs/internals/rules.md, "Labels are the machine's own".
"""

from __future__ import annotations

import errno
import os
import stat
from _collections_abc import Iterator

from allie.core import digest
from allie.core.change.ledger import DIRECTORY, Seen, Source
from allie.core.errors import PathRefused
from allie.core.lean import suppress
from allie.machine.files import stood

_CHUNK = 1 << 20  # bytes, of what is read for its digest
_DEEP, _MOST_NAMES = 50, 20_000  # levels and names: what is walked of a tree that may be a user's
_LONGEST = 1800  # bytes of a directory's path in it: what is kept of it has a longer one
_CWD, _NOREPLACE = -100, 1  # linux/fcntl.h: AT_FDCWD; linux/fs.h: RENAME_NOREPLACE
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# Attributes that are the machine's own, not the file's: never compared, never carried.
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


def names(directory: str) -> list[str]:
    """What is in a directory; nothing where there is none, or none that can be read."""
    try:
        return os.listdir(directory)
    except OSError:
        return []


def status(path: str) -> os.stat_result | None:
    """lstat, or None where nothing stands, or can stand: below a file, or a link to itself.

    Raises OSError where nobody can tell: a broken disk, a server that is gone.
    """
    try:
        return os.lstat(path)
    except OSError as error:
        if error.errno in stood.NOWHERE:
            return None
        raise


def is_directory(st: os.stat_result) -> bool:
    """Whether an lstat is a directory's."""
    return stat.S_ISDIR(st.st_mode)


def is_plain_way(top: str, real: str) -> bool:
    """Whether all that is above a path below `top` is directories, and no link."""
    above = top
    for name in real.split("/")[:-1]:
        above = f"{above}/{name}"
        st = status(above)
        if st is None or not stat.S_ISDIR(st.st_mode):
            return False
    return True


def seen_of(st: os.stat_result) -> Seen:
    """What of an lstat tells whether a file in the root has changed since it was seen."""
    return (
        f"{st.st_ino} {st.st_ctime_ns} {st.st_size} {st.st_mtime_ns}"
        f" {st.st_mode:o} {st.st_uid} {st.st_gid}"
    )


def way_of(st: os.stat_result) -> str:
    """What of an lstat tells whether a path through here leads where it led before."""
    word = stood.way_of(st)
    return seen_of(st) if word == stood.LINK else word


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
        return "f:" + _file_digest(path, st.st_size)
    if stat.S_ISDIR(mode):
        return DIRECTORY
    if stat.S_ISLNK(mode):
        return "l:" + os.readlink(path)
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        kind = "c" if stat.S_ISCHR(mode) else "b"
        return f"{kind}:{os.major(st.st_rdev)},{os.minor(st.st_rdev)}"
    return "p" if stat.S_ISFIFO(mode) else "s"


def _file_digest(path: str, size: int) -> str:
    """The sha256 of a regular file; a large one is read in pieces.

    size: what lstat said. Of one that grows meanwhile little more is read than that.
    """
    descriptor = os.open(path, _READ)
    try:
        return _digest_of_open(descriptor, size)
    finally:
        os.close(descriptor)


def digests(path: str, st: os.stat_result) -> tuple[str, str]:
    """(content digest, attributes digest) of a file; a regular one is opened once for both."""
    if not stat.S_ISREG(st.st_mode):
        return content_digest(path, st), attributes_digest(path, st)
    descriptor = os.open(path, _READ)
    try:
        content = "f:" + _digest_of_open(descriptor, st.st_size)
        return content, attributes_of(st, xattrs(descriptor, follow=True))
    finally:
        os.close(descriptor)


def _digest_of_open(descriptor: int, size: int) -> str:
    wanted = min(size + 1, _CHUNK)
    first = os.read(descriptor, wanted)
    if len(first) < wanted:
        return digest.of(first)
    return digest.of_pieces(_pieces(first, descriptor, size))


def _pieces(first: bytes, descriptor: int, size: int) -> Iterator[bytes]:
    """What was read of an open file, and the rest, up to its end or a little more than `size`."""
    yield first
    left = size - len(first)
    while left >= 0:
        piece = os.read(descriptor, _CHUNK)
        if not piece:
            return
        left -= len(piece)
        yield piece


def attributes_digest(path: str, st: os.stat_result) -> str:
    """Mode, owner and group, and a digest of ACLs and extended attributes if there are any."""
    return attributes_of(st, xattrs(path))


def attributes_of(st: os.stat_result, extended: dict[str, bytes]) -> str:
    """The same, where its extended attributes are known."""
    text = f"{stat.S_IMODE(st.st_mode):04o} {st.st_uid} {st.st_gid}"
    if not extended:
        return text
    each_with_its_value = [
        f"{name}\0{len(value)}\0".encode(errors="surrogateescape") + value
        for name, value in sorted(extended.items())
    ]
    return f"{text} {digest.of(b''.join(each_with_its_value))[:16]}"


def xattrs(path: str | int, *, follow: bool = False) -> dict[str, bytes]:
    """The extended attributes of a file that are its own (ACLs and capabilities are among them)."""
    try:
        names = os.listxattr(path, follow_symlinks=follow)
        if not names:
            return {}
        return {
            name: os.getxattr(path, name, follow_symlinks=follow)
            for name in names
            if name not in FOREIGN_XATTRS and not name.startswith(FOREIGN_XATTR_PREFIX)
        }
    except OSError:  # a file system that has none
        return {}


def of_size(size: int) -> str:
    """The content digest of a file that is not read: by its size it is neither ours nor wanted."""
    return f"f:of {size} bytes"


def remove(path: str) -> None:
    """Remove a file, or a whole tree of our own; follows no symlink; silent if it is not there.

    However deep it is: what a user had nested lies in undo as it was. Never what is on another
    mount: a user can rename a directory that holds one of root's into a tree that is about to go.
    Raises OSError where something stays, once the rest is removed.
    """
    st = status(path)
    if st is not None and not stat.S_ISDIR(st.st_mode):
        os.unlink(path)
    elif st is not None:
        from allie.machine.files import removing  # noqa: PLC0415 - see HACKING.md, start-up

        for error in removing.remove(path, take=False):
            name = error.filename[len(path) + 1 :]
            number = error.errno or 0
            number = {errno.EXDEV: errno.EBUSY}.get(number, number)  # a mount in it
            words = f"{name} in it: {error.strerror}" if name else error.strerror
            raise OSError(number, words, path)


def _open_below(directory: int, name: str) -> int:
    """Open a directory in an open one. Raises PathRefused where something is mounted on it."""
    from allie.machine.files import beneath  # noqa: PLC0415 - see HACKING.md, start-up

    try:
        return beneath.open_beneath(directory, name, _OPEN)
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise PathRefused(f"{name} in it is a mount point") from error
        raise


def survey(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """Every name below a directory that may be a user's, with its lstat; parents come first.

    Each directory is reached from the one above it, through no link. Raises PathRefused where it is
    nested deeper, or holds more names, than is walked for anybody, and where something is mounted.
    """
    open_now: list[tuple[int, str, list[str]]] = []  # directory, its path and a slash, those in it
    below, prefix, count = os.open(path, _OPEN), "", 0
    try:
        while True:
            open_now.append((below, prefix, directories := []))
            for name in _few_names(below, _MOST_NAMES - count):
                count += 1
                st = os.stat(name, dir_fd=below, follow_symlinks=False)
                if stat.S_ISDIR(st.st_mode):
                    directories.append(name)
                yield prefix + name, st
            while open_now and not open_now[-1][2]:
                os.close(open_now.pop()[0])
            if not open_now:
                return
            directory, above, names = open_now[-1]
            prefix = f"{above}{names[0]}/"
            if len(open_now) > _DEEP or len(os.fsencode(prefix)) > _LONGEST:
                raise PathRefused(f"it is nested deeper than {_DEEP} levels or {_LONGEST} letters")
            below = _open_below(directory, names.pop(0))
    finally:
        for directory, _, _ in open_now:
            os.close(directory)


def _few_names(directory: int, most: int) -> list[str]:
    with os.scandir(directory) as names:
        found = [each.name for _, each in zip(range(most + 1), names)]
    if len(found) > most:
        raise PathRefused(f"it holds more than {_MOST_NAMES} names")
    return found


def move_back(path: str, directory: int, name: str) -> str:
    """Move what was taken to where it was, and over nothing that came there meanwhile.

    Returns the name that it has there: one that is free, where its own is not. Raises OSError.
    """
    for free in (name, f"{name[:200]}.was-{os.urandom(4).hex()}"):
        try:
            _rename_new(path, directory, free)
            return free
        except FileExistsError:
            continue
    raise FileExistsError(errno.EEXIST, "no name is free there", name)


def _rename_new(path: str, directory: int, name: str) -> None:
    from allie.machine import libc  # noqa: PLC0415 - see HACKING.md, start-up

    names = os.fsencode(path) + b"\0", os.fsencode(name) + b"\0"
    try:
        libc.call("renameat2", _CWD, names[0], directory, names[1], _NOREPLACE)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, 0):
            raise  # of its own class: OSError makes FileExistsError by the number
        with suppress(FileNotFoundError):
            os.stat(name, dir_fd=directory, follow_symlinks=False)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name) from error
        os.rename(path, name, dst_dir_fd=directory)
