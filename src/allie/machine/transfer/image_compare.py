"""Compare a tree with an image of the store by rsync, which then changes nothing.

The argv builders and the reader of the answer are pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from allie.core.value import Value
from allie.machine.transfer import rsync
from allie.machine.transfer.rsync import Version

_WIDTH = 12  # of what stands before a name: %i and a space


def whole(
    able: Version,
    reach: list[str],
    wanted: str,
    tree: str,
    excluded: Sequence[str],
    *,
    quick: bool = False,
) -> list[str]:
    """How does a tree differ from an image? A line for each thing in the image, equal or not.

    A directory's time is no difference: it moves with whatever is placed there. quick: a file of
    the same size and time is equal; else contents are compared.
    """
    flags = [*rsync.archive_flags(able), "-O", "-n", "-ii", "--delete", "--outbuf=L"]
    flags += ["--out-format=%i %n\t%L", *(f"--exclude={pattern}" for pattern in excluded)]
    flags += [] if quick else [rsync.BY_CONTENT]
    return ["rsync", *flags, *reach, "--", f"{wanted}/", f"{tree}/"]


def some(
    able: Version, reach: list[str], wanted: str, tree: str, *, quick: bool = False
) -> list[str]:
    """The same of the names on standard input alone; no output where they are equal."""
    flags = [*rsync.archive_flags(able), "-O", "-n", "--no-H", "--from0", "--files-from=-"]
    flags += ["--no-implied-dirs", "--out-format=%i %n\t%L"]
    flags += [] if quick else [rsync.BY_CONTENT]
    return ["rsync", *flags, *reach, "--", f"{wanted}/", f"{tree}/"]


class Compared(Value):
    """One line of the answer to `whole`."""

    name: str  # relative to the tree
    differs: bool
    gone: bool  # the image does not have it
    links: bool  # it is one more name of a file that was named before


def parse(line: bytes) -> Compared | None:
    """Read one line; None if it is something else that rsync, or the server, had to say.

    >>> parse(b".f          etc/motd\\t")
    Compared(name='etc/motd', differs=False, gone=False, links=False)
    >>> parse(b"hf          b\\t => a").differs  # not yet the same file
    True
    """
    named, tab, other = line.partition(b"\t")
    if not tab:
        return None
    item = named[:_WIDTH].rstrip()
    links, gone = item[:1] == b"h", item[:1] == b"*"
    differs = len(item) > len(b".f") or item[:1] not in (b".", b"h") or (links and bool(other))
    return Compared(rsync.plain_name(named[_WIDTH:]), differs, gone, links)
