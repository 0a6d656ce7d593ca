"""Compare a tree with an image of the store by rsync, which then changes nothing.

The argv builders and the reader of the answer are pure.
"""

from __future__ import annotations

from allie.core.value import Value
from allie.machine.transfer import rsync
from allie.machine.transfer.image_fetch import Transfer

_WIDTH = 12  # of what stands before a name: %i and a space


def whole(what: Transfer) -> list[str]:
    """How does a tree differ from an image? A line for each thing in the image, equal or not.

    A directory's time is no difference: it moves with whatever is placed there. A file of the same
    size and time is equal, unless the options say BY_CONTENT.
    """
    flags = [*rsync.archive_flags(what.able), "-O", "-n", "-ii", "--delete", "--outbuf=L"]
    flags += ["--out-format=%i %n\t%L", *(f"--exclude={pattern}" for pattern in what.excluded)]
    return ["rsync", *flags, *what.options, *what.reach, "--", f"{what.source}/", f"{what.into}/"]


def some(what: Transfer) -> list[str]:
    """The same of the names on standard input alone; no output where they are equal."""
    flags = [*rsync.archive_flags(what.able), "-O", "-n", "--no-H", "--from0", "--files-from=-"]
    flags += ["--no-implied-dirs", "--out-format=%i %n\t%L"]
    return ["rsync", *flags, *what.options, *what.reach, "--", f"{what.source}/", f"{what.into}/"]


class Compared(Value):
    """One line of the answer to `whole`."""

    name: str  # relative to the tree
    differs: bool
    gone: bool  # the image does not have it


def parse(line: bytes) -> Compared | None:
    """Read one line; None if it is something else that rsync, or the server, had to say.

    >>> parse(b".f          etc/motd\\t")
    Compared(name='etc/motd', differs=False, gone=False)
    >>> parse(b"hf          b\\t => a").differs  # not yet the same file
    True
    """
    named, tab, other = line.partition(b"\t")
    if not tab:
        return None
    item = named[:_WIDTH].rstrip()
    links, gone = item[:1] == b"h", item[:1] == b"*"
    differs = len(item) > len(b".f") or item[:1] not in (b".", b"h") or (links and bool(other))
    return Compared(rsync.plain_name(named[_WIDTH:]), differs, gone)
