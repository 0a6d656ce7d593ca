"""The files by which one tick tells the next quick ones what they may go by (`quick/`).

    note             what it follows from that there is nothing to do (client.tick.quick_note)
    overlay, overact the paths that a part looked at, and what stood there (client.apply.unchanged)
    last             96 bytes, written in place: the last quick tick
    code-…           the quick tick itself, compiled

A note is a cache: one that is missing, cut short, or of another version is none. Also run by the
quick tick before anything else of ALLiE, so it imports only what the interpreter has built in.
"""

import marshal
import posix
from binascii import crc32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _collections_abc import Callable, Sequence
    from typing import Any, Optional

    Seal = Callable[[bytes], bytes]  # of a note: whose is it, and is all of it there?
    Last = tuple[int, float, float, float]

STATE = "\0"  # in a question: the state directory, which each process may know by another path
_MAGIC = b"ALLiE quick note 1"
_MOST = 64 << 20  # bytes of a note; 100,000 paths take 15 MB
_LAST = 96  # bytes of `last`
_OPEN = posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC


def question(argv: "Sequence[str]", state: str) -> "tuple[str, ...]":
    """An rsync command line that asks the store, as notes have it."""
    return tuple([each.replace(f"{state}/", f"{STATE}/") for each in argv])


def checksum(body: bytes) -> bytes:
    """The seal where nobody but root can write: it tells whether a note is whole."""
    return b"%08x" % crc32(body)


def pack(value: "Any", seal: "Seal") -> bytes:
    """A note, as it is written."""
    body = marshal.dumps(value, 4)
    return b"\n".join((_MAGIC, seal(body), body))


def read(path: str, seal: "Seal") -> "tuple[Any, bytes]":
    """A note, and its seal, which tells it from any other.

    Raises OSError or ValueError if there is none; what is not sealed is not looked into.
    """
    magic, sealed, body = _read(path, _MOST).split(b"\n", 2)
    if magic != _MAGIC or sealed != seal(body):
        raise ValueError(path)
    return marshal.loads(body), sealed


def read_last(state: str) -> "Optional[Last]":
    """The last quick tick: its number, when it began, its seconds, when the store answered.

    Or, where there was none since, the whole tick that wrote the note.
    """
    try:
        body, _, check = _read(f"{state}/quick/last", _LAST).strip().rpartition(b" ")
        if int(check, 16) != crc32(body):
            return None
        number, *times = body.split()
        began, seconds, answered = map(float, times)
        return int(number), began, seconds, answered
    except (OSError, ValueError):
        return None


def last_text(last: "Last") -> bytes:
    """The text of `last`."""
    body = b"%d %.6f %.3f %.6f" % last
    return (b"%s %08x" % (body, crc32(body))).ljust(_LAST - 1) + b"\n"


def write_last(state: str, last: "Last") -> None:
    """Write `last` in place. Raises OSError where it is not as we made it."""
    overwrite(f"{state}/quick/last", last_text(last))


def overwrite(path: str, text: bytes) -> None:
    """Write into a small file of ours, in place. Raises OSError where it is no such file.

    A link of either kind would be somebody else's file.
    """
    descriptor = posix.open(path, posix.O_WRONLY | _OPEN)
    try:
        st = posix.fstat(descriptor)
        if (st.st_mode & 0o170000, st.st_nlink) != (0o100000, 1) or st.st_size > _LAST:
            raise OSError("not as we made it")
        posix.pwrite(descriptor, text, 0)
        if len(text) < st.st_size:
            posix.ftruncate(descriptor, len(text))
    finally:
        posix.close(descriptor)


def _read(path: str, most: int) -> bytes:
    descriptor = posix.open(path, posix.O_RDONLY | _OPEN)
    try:
        size = posix.fstat(descriptor).st_size
        return posix.read(descriptor, min(size, most))
    finally:
        posix.close(descriptor)
