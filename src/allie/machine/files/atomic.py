"""Small files written so that each is old or new, whatever happens.

docs/internals/rules.md, "The disk may have the name and not the content".
"""

from __future__ import annotations

import errno
import os
import stat

from allie.core.errors import PROTECTED, NoRoom, StateError, TooLarge

_CWD, _EXCHANGE = -100, 2  # linux/fcntl.h: AT_FDCWD, linux/fs.h: RENAME_EXCHANGE
_MOST = 64 << 20  # bytes: a ledger of 100,000 paths takes 30 MB
# What open(2) says of a file that is none, or is not for us. All else is trouble, and no answer
_NONE = (
    *(errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ESRCH),
    *(errno.EISDIR, errno.ENXIO, errno.ENODEV, errno.EACCES, errno.EPERM),
)
_PIECE = 1 << 16  # bytes: from 128 KiB on malloc(3) has each piece mapped anew, for 15 µs
_in_one_sync: list[InOneSync] = []  # the one that lasts, if one does


class InOneSync:
    """As long as it lasts, no file of ours is brought to the disk by itself, nor a file system.

    For the making of a whole tree which nobody believes in before the sync that follows; with what
    is forked meanwhile. docs/internals/rules.md, "A tree in the making goes to the disk once".
    """

    def __enter__(self) -> None:
        _in_one_sync.append(self)

    def __exit__(self, *_: object) -> None:
        _in_one_sync.pop()


def write(
    path: str, data: str | bytes, mode: int = 0o644, *, durable: bool = True, temporary: str = ""
) -> None:
    """Make `path` hold `data`: temp file beside it, fsync, rename, fsync of the directory.

    durable=False leaves out both fsyncs, for what the next tick can make again. temporary: its path
    meanwhile, where names are not ours, and so may end as ours do. Raises StateError, with the
    path, where the disk does not take it.
    """
    body = data.encode(errors="surrogateescape") if isinstance(data, str) else data
    temporary = temporary or f"{path}.part"
    try:
        descriptor = _new(temporary, mode)
        try:
            os.fchmod(descriptor, mode)
            left = memoryview(body)
            while left:
                left = left[os.write(descriptor, left) :]
            if durable:
                sync_file(descriptor)
        finally:
            os.close(descriptor)
        os.rename(temporary, path)
        if durable:
            sync_directory(os.path.dirname(path))
    except OSError as error:
        raise refused(f"cannot write {path}", error) from error


def renew(path: str, text: str, mode: int = 0o644, *, durable: bool = True) -> bool:
    """Write as `write` does, unless the file has just this text already; whether it was written."""
    if read(path) == text:
        return False
    write(path, text, mode, durable=durable)
    return True


def refused(what: str, error: OSError) -> StateError:
    """The error of a disk that does not take something: NoRoom where it is full."""
    kind = NoRoom if error.errno in (errno.ENOSPC, errno.EDQUOT) else StateError
    return kind(f"{what}: {error.strerror}")


def _new(path: str, mode: int) -> int:
    """Make a file, in place of what an earlier try left there.

    Or what somebody put there: a fifo would be waited for, a disk or a hard link be written to.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        return os.open(path, flags, mode)
    except FileExistsError:
        os.unlink(path)
        return os.open(path, flags, mode)


def read(path: str) -> str | None:
    """A small file's text, undecodable bytes kept; None if there is none (or it is no file).

    Raises as `read_bytes` does.
    """
    data = read_bytes(path)
    return None if data is None else data.decode(errors="surrogateescape")


def read_note(path: str) -> str | None:
    """As `read`, of what is made anew where there is none: so it is where it cannot be read."""
    try:
        return read(path)
    except StateError:
        return None


def read_bytes(path: str, most: int = _MOST) -> bytes | None:
    """A small file's bytes; None if there is none. Never follows a symlink at its end.

    What is no regular file is none: a fifo, a disk. So is what others than root may not read, to
    them. It may be another system's, whose root can make it as large as he likes: raises TooLarge
    where it is larger than `most` bytes; StateError where a disk, or a lack of memory, or of files,
    keeps us from knowing what it says: who took that for nothing would write it anew, and lose it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            st = os.fstat(descriptor)
            if not stat.S_ISREG(st.st_mode):
                return None
            data = read_open(descriptor, most) if st.st_size <= most else None
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in _NONE:
            return None
        raise refused(f"{path} cannot be read", error) from error
    if data is None:
        raise TooLarge(f"{path} is larger than {most >> 20} MiB", "look at what it is")
    return data


def read_open(descriptor: int, most: int) -> bytes | None:
    """What an open file has from here on; None where that is more than `most` bytes."""
    pieces, left = [], most + 1
    while left and (piece := os.read(descriptor, min(left, _PIECE))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces) if left else None


def point(link: str, target: str) -> None:
    """Make the symlink `link` point to `target` by one rename."""
    temporary = f"{link}.part"
    remove(temporary)
    os.symlink(target, temporary)
    os.rename(temporary, link)
    sync_directory(os.path.dirname(link))


def exchange(one: str, other: str) -> bool:
    """Let two paths of one file system swap what they name, at once; False where that cannot be."""
    from allie.machine import libc  # noqa: PLC0415 - see HACKING.md, start-up

    names = os.fsencode(one), os.fsencode(other)
    try:
        libc.call("renameat2", _CWD, names[0], _CWD, names[1], _EXCHANGE)
    except OSError:  # the C library, the kernel or the file system knows of no such thing
        return False
    sync_directory(os.path.dirname(one))
    return True


def swap(one: str, other: str, away: str) -> None:
    """Let two paths of one file system swap what they name, else by renames, `one` first to `away`.

    Then nothing is at `one` for a moment. Killed between them, what was there is at `away`.
    """
    if exchange(one, other):
        return
    try:
        os.rename(one, away)
        try:
            os.rename(other, one)
        except OSError:
            os.rename(away, one)
            raise
        os.rename(away, other)
    except OSError as error:
        raise StateError(f"cannot move {one}: {error.strerror}", PROTECTED) from error
    sync_directory(os.path.dirname(one))


def remove(path: str) -> bool:
    """Remove a file if it is there; whether it was."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def sync_file(descriptor: int) -> None:
    """fsync(2): an open file's content is on the disk, or an open directory's names."""
    if not _in_one_sync:
        os.fsync(descriptor)


def sync_directory(path: str) -> None:
    """Make the names of a directory durable (fsync(2) on the directory)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync_file(descriptor)
    finally:
        os.close(descriptor)


def sync_filesystem(path: str) -> None:
    """syncfs(2) on the file system of `path`: all its data is on disk, or StateError.

    rsync exits 0 when its data never reached the disk; this is what tells.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        sync_descriptor(descriptor, path)
    finally:
        os.close(descriptor)


def sync_descriptor(descriptor: int, path: str = "") -> None:
    """The same by an open directory, whose path (for the message) may be another's by now."""
    from allie.machine import libc  # noqa: PLC0415 - see HACKING.md, start-up

    if _in_one_sync:
        return
    try:
        libc.call("syncfs", descriptor)
    except OSError as error:
        where = path or os.readlink(f"/proc/self/fd/{descriptor}")
        raise refused(f"the disk under {where} did not take the data", error) from error
