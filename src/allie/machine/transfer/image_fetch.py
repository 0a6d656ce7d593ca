"""Bring an image to a PC: rsync's command lines.

A first fetch is two commands: the first brings all but files of LARGE and more, without looking for
holes; the second is that of an update, and brings whatever is still missing or differs. So nothing
is read out of what rsync prints: that is for people, and progress and names share its lines.
Everything but `fetch` is pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from allie.core.errors import PROTECTED, NotWritten
from allie.machine import console
from allie.machine.programs import pipes, process
from allie.machine.programs.process import Finished
from allie.machine.programs.process_groups import Bounds
from allie.machine.transfer import rsync
from allie.machine.transfer.rsync import Version

_ASKED_SINCE = (3, 2)
LARGE = 16 << 20  # bytes; what holes in a smaller file waste is little


def fetch(
    able: Version,
    reach: list[str],
    store: str,
    image: str,
    into: str,
    *,
    stall: float,
    follow: Callable[[bytes], None] | None,
    asks: int = 0,
    like: str = "",
    update: bool = False,
    may_leave: bool = False,
    fresh: bool = False,
    excluded: Sequence[str] = (),
    limits: Sequence[str] = (),
) -> None:
    """Bring an image from a store into a tree.

    follow: given whole lines of what rsync prints, to show how far it is. update: the tree was a
    system before: compressed on the wire, and all in one. may_leave: what cannot be written here
    stays as it is, and is named: a system on a partition has no other tree to fall back to.
    stall: as for `groups.Bounds`; there is no end for the whole, since an image may take hours.
    asks: as for `process.run`. The rest: as for `bring`.
    Raises StoreError, Unreachable, or StateError for this PC's disk.
    """
    source = rsync.sources(store, [f"images/{image}"])[0]
    lines = pipes.by_line(follow or _ignore)
    for only_little in (False,) if update else (True, False):
        argv = bring(
            able,
            reach,
            source,
            into,
            like=like,
            compressed=update,
            excluded=excluded,
            limits=limits,
            only_little=only_little,
            fresh=fresh,
        )
        bounds = Bounds(stall, disk=into)
        done = process.run(argv, bounds=bounds, on_output=lines, asks=asks)
        _check(done, store, image, may_leave)


def _ignore(_lines: bytes) -> None:
    """What rsync prints where nobody looks on; it is not kept."""


def _check(done: Finished, store: str, image: str, may_leave: bool) -> None:
    """Raise an error where not all was written; what this PC refuses is not the store's fault."""
    if not rsync.is_refused_here(done):
        rsync.check(done, store)
        return
    if not may_leave:
        words = f"this PC lets it not be written: {rsync.reason(done)}"
        raise NotWritten(words, PROTECTED)
    console.warn(f"{image}: left as it was on this PC: {rsync.reason(done)}")


def bring(
    able: Version,
    reach: list[str],
    wanted: str,
    into: str,
    *,
    like: str = "",
    compressed: bool = False,
    excluded: Sequence[str] = (),
    limits: Sequence[str] = (),
    only_little: bool = False,
    fresh: bool = False,
) -> list[str]:
    """Bring a whole image into a tree; again after an interruption, it goes on.

    like: a tree that is much the same; what is equal there is copied from it, what is similar
    costs the difference. compressed: on the wire, by the best that both ends know. It costs the
    server five times the CPU, so it is for what is little. excluded: paths that stay as they are,
    and are not brought. only_little: no files of LARGE and more; of the others holes are filled,
    since with -S rsync writes a kilobyte at a time. fresh: no file of the image is there, so with
    only_little each is written where it will be, without a rename, which spares the receiver an
    eighth. Not where one is: its other names would be written, too.
    """
    flags = [*rsync.archive_flags(able, holes=not only_little), "--delete", *limits]
    flags += ["--inplace"] * (fresh and only_little)  # with -S only since rsync 3.1.3
    flags += [f"--max-size={LARGE - 1}"] if only_little else []
    flags += [f"--exclude={pattern}" for pattern in excluded]
    flags += [f"--copy-dest={like}/"] if like else []
    flags += ["-z"] * bool(compressed and reach)  # no wire leads to a store in a directory
    return ["rsync", *flags, *reach, "--", f"{wanted}/", f"{into}/"]


def tells_when_asked(able: Version) -> bool:
    """Whether it says how far it is when it gets SIGVTALRM; a line for every file costs a tenth."""
    return able.number >= _ASKED_SINCE
