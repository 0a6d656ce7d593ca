"""Bring an image to a PC: rsync's command lines.

A first fetch is two commands: the first brings all but files of LARGE and more, without looking for
holes; the second is that of an update, and brings whatever is still missing or differs. So nothing
is read out of what rsync prints: that is for people, and progress and names share its lines.
"""

from __future__ import annotations

import signal
from _collections_abc import Callable, Sequence

from allie.core.errors import PROTECTED, NotWritten
from allie.core.value import Value
from allie.machine import console
from allie.machine.programs import pipes, process
from allie.machine.programs.process_groups import Bounds
from allie.machine.transfer import rsync
from allie.machine.transfer.rsync import Version

_ASKED_SINCE = (3, 2)
LARGE = 16 << 20  # bytes; what holes in a smaller file waste is little


class Transfer(Value):
    """An image that is to come: from where, to where, and how."""

    able: Version  # this PC's rsync
    reach: Sequence[str]  # its options that lead to the store; none for a store in a directory
    source: str
    into: str  # an interrupted transfer goes on from what is there
    like: str = ""  # a tree that is much the same: what is equal is copied from it
    # `into` was a system before. Little comes then, so that compressing it pays, though it costs
    # the server five times the CPU.
    update: bool = False
    fresh: bool = False  # no file of the image is there
    excluded: Sequence[str] = ()  # paths that stay as they are, and are not brought
    options: Sequence[str] = ()  # more of rsync's


def fetch(
    what: Transfer,
    store: str,
    stall: float,
    follow: Callable[[bytes], None] | None = None,
    asks: int = 0,
) -> None:
    """Bring an image from a store into a tree.

    follow: given whole lines of what rsync prints, to show how far it is. asks: as for
    `process.run`. stall: as for `Bounds`; there is no end for the whole, since an image may take
    hours. Raises StoreError, Unreachable, or StateError for this PC's disk. Only where a system is
    updated in place, and so has no other tree to fall back to, what this PC does not let be written
    stays as it is, and is named.
    """
    lines = pipes.by_line(follow or _ignore)
    for only_little in (False,) if what.update else (True, False):
        bounds = Bounds(stall, disk=what.into)
        argv = command(what, only_little=only_little)
        done = process.run(argv, bounds=bounds, on_output=lines, asks=asks)
        if not rsync.is_refused_here(done):
            rsync.check(done, store)
        elif what.update and not what.like:
            image = what.source.rpartition("/")[2]
            console.warn(f"{image}: left as it was on this PC: {rsync.reason(done)}")
        else:
            words = f"cannot be written on this PC: {rsync.reason(done)}"
            raise NotWritten(words, PROTECTED)


def command(what: Transfer, *, only_little: bool = False) -> list[str]:
    """Rsync's command line.

    only_little: no files of LARGE and more; of the others holes are filled, since with -S rsync
    writes a kilobyte at a time. Into a fresh tree each file is written where it will be, without a
    rename, which spares an eighth; not into another, where its other names would be written, too.
    """
    flags = [*rsync.archive_flags(what.able, holes=not only_little), "--delete", *what.options]
    flags += ["--inplace"] * (what.fresh and only_little)  # with -S only since rsync 3.1.3
    flags += [f"--max-size={LARGE - 1}"] if only_little else []
    flags += [f"--exclude={pattern}" for pattern in what.excluded]
    flags += [f"--copy-dest={what.like}/"] if what.like else []
    flags += ["-z"] * bool(what.update and what.reach)  # no wire leads to a store in a directory
    return ["rsync", *flags, *what.reach, "--", f"{what.source}/", f"{what.into}/"]


def how_to_ask(able: Version) -> int:
    """The signal at which it says how far it is, else 0; a line for every file costs a tenth."""
    return signal.SIGVTALRM if able.number >= _ASKED_SINCE else 0


def _ignore(_lines: bytes) -> None:
    """What rsync prints where nobody looks on; it is not kept."""
