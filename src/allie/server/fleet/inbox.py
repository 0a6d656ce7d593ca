"""The inboxes: the bytes of what each PC last sent, and when they arrived.

STORE/inbox/HOST/report is written by the PC HOST, through a door or on a shared disk, and by nobody
else: so whatever stands there may be anything. It is opened without following a link and without
waiting, read where it is a regular file, and to a bound. What is odd about one inbox is a flaw of
that PC's report alone.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from allie.core import hosts
from allie.core.errors import StateError
from allie.core.value import Value
from allie.server.doors.host_places import REPORT

MOST = 256 << 10  # bytes of a report: an honest one has a few kB, and 160 kB with what it offers
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_MOST_ODD = 5  # names that are told
_FLAWS = (  # by how many of the two could be opened: its inbox, and the report in it
    "its inbox is no directory of its own",
    "its report is no plain file",
    "its report cannot be read",
)


class Arrived(Value):
    """What lies in one host's inbox."""

    text: bytes = b""
    at: float = 0.0  # by the server's clock; 0: nothing ever arrived
    flaw: str = ""  # why it is not read

    @property
    def is_empty(self) -> bool:
        """Whether nothing ever arrived."""
        return not self.at and not self.flaw


class Inboxes(Value):
    """Which hosts have an inbox."""

    hosts: tuple[str, ...]
    troubles: tuple[str, ...]  # what else is there, in words


def survey(store: str) -> Inboxes:
    """Who has an inbox. A name that no host can have is told, and passed over.

    Raises StateError where nobody can tell: else all would seem to be missing.
    """
    try:
        names = sorted(os.listdir(f"{store}/inbox"))
    except FileNotFoundError:
        return Inboxes((), ())
    except OSError as error:
        words = f"{store}/inbox cannot be looked at: {error.strerror}"
        raise StateError(words, "run it as root, as with sudo") from error
    good = tuple(filter(hosts.is_name, names))
    odd = [*{*names} - {*good}] if len(good) < len(names) else []
    odd = sorted(name for name in odd if not name.startswith("."))
    shown = ", ".join(repr(name[:40]) for name in odd[:_MOST_ODD])
    more = f" and {len(odd) - _MOST_ODD} more" if len(odd) > _MOST_ODD else ""
    return Inboxes(good, (f"inbox: no host is called so: {shown}{more}",) if odd else ())


def each(store: str, names: tuple[str, ...]) -> Iterator[tuple[str, Arrived]]:
    """What lies in each of these hosts' inboxes, one at a time."""
    if not names:
        return
    try:
        top = os.open(f"{store}/inbox", _DIRECTORY)
    except OSError as error:
        yield from ((name, Arrived(flaw=f"inbox: {error.strerror}")) for name in names)
        return
    try:
        for name in names:
            yield name, _read(top, name)
    finally:
        os.close(top)


def report(store: str, host: str) -> Arrived:
    """What lies in one host's inbox."""
    return next(each(store, (host,)))[1]


def _read(top: int, host: str) -> Arrived:
    held: list[int] = []
    try:
        held.append(os.open(host, _DIRECTORY, dir_fd=top))
        held.append(os.open(REPORT, _FILE, dir_fd=held[0]))
        return _content(held[1])
    except FileNotFoundError:
        return Arrived()
    except OSError as error:
        return Arrived(flaw=f"{_FLAWS[len(held)]}: {error.strerror}")
    finally:
        for each in held:
            os.close(each)


def _content(descriptor: int) -> Arrived:
    """What an open file holds. Its mtime is the PC's word: it arrived at its ctime."""
    st = os.fstat(descriptor)
    if not stat.S_ISREG(st.st_mode):
        return Arrived(flaw="its report is no plain file")
    if st.st_nlink > 1:
        return Arrived(flaw="its report is a hard link: somebody on this server made it")
    at = st.st_ctime
    text = os.read(descriptor, MOST + 1) if st.st_size <= MOST else b""
    if st.st_size > MOST or len(text) > MOST:
        return Arrived(b"", at, f"its report has {st.st_size:,} bytes: more than {MOST:,}")
    return Arrived(text, at)
