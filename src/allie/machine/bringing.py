"""Bring an image to a PC: rsync's command lines, and what they say meanwhile.

Files of LARGE and more come by a second command, which keeps their holes. Everything but `fetch` is
pure.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence

from allie.core.errors import NotWritten, StoreError
from allie.machine import console, listening, process, rsync
from allie.machine.groups import Bounds
from allie.machine.process import Finished
from allie.machine.rsync import Version

_ASKED_SINCE = (3, 2)
LARGE = 16 << 20  # bytes; what holes in a smaller file waste is little
_MOST_LARGE = 100_000  # no disk holds so many, and the store may be hostile


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
    spares: bool = False,
    fresh: bool = False,
    excluded: Sequence[str] = (),
    limits: Sequence[str] = (),
) -> None:
    """Bring an image from a store into a tree, by both commands where there are large files.

    follow: given whole lines of what rsync prints. update: the tree was a system before: compressed
    on the wire, and all in one. spares: what here refuses to be written stays as it is, and is
    named: a system on a partition has no other tree to fall back to. stall: as for `groups.Bounds`;
    there is no end for the whole, since an image may take hours. asks: as for `process.run`. The
    rest: as for `bring`, where only what is little is written in place: of the large, holes are
    kept.
    Raises StoreError, Unreachable, or StateError for this PC's disk.
    """
    named: list[str] = []

    def take(lines: bytes) -> None:
        named.extend(large(lines))
        if len(named) > _MOST_LARGE:
            raise StoreError(f"{store} names more than {_MOST_LARGE} large files of {image}")
        if follow:
            follow(lines)

    def run(argv: list[str], files: bytes = b"") -> None:
        lines = listening.by_line(take)
        bounds = Bounds(stall, disk=into)
        done = process.run(argv, stdin=files, bounds=bounds, on_output=lines, asks=asks)
        _check(done, store, image, spares)

    run(
        bring(
            able,
            reach,
            rsync.sources(store, [f"images/{image}"])[0],
            into,
            like=like,
            compressed=update,
            excluded=excluded,
            limits=limits,
            only_little=not update,
            fresh=fresh,
        )
    )
    if named:
        images = rsync.sources(store, ["images"])[0]
        run(bring_some(able, reach, images, into, limits), names(image, named))


def _check(done: Finished, store: str, image: str, spares: bool) -> None:
    """Raise an error where not all was written; what this PC refuses is not the store's fault."""
    if not rsync.is_refused_here(done):
        rsync.check(done, store)
        return
    if not spares:
        words = f"this PC lets it not be written: {rsync.reason(done)}"
        raise NotWritten(words, rsync.PROTECTED)
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
    and are not brought. only_little: files of LARGE and more are just named (`large`); of the
    others holes are filled, since with -S rsync writes a kilobyte at a time. fresh: no file of the
    image is there, so each is written where it will be, without a rename, which spares the receiver
    an eighth. Not where one is: its other names would be written, too.
    """
    flags = [*rsync.archive_flags(able, holes=not only_little), "--delete", *limits]
    flags += ["--inplace"] * (fresh and only_little)  # with -S only since rsync 3.1.3
    flags += [f"--max-size={LARGE - 1}", "--info=skip1"] if only_little else []
    flags += [f"--exclude={pattern}" for pattern in excluded]
    flags += [f"--copy-dest={like}/"] if like else []
    flags += ["-z"] * bool(compressed and reach)  # no wire leads to a store in a directory
    return ["rsync", *flags, *reach, "--", f"{wanted}/", f"{into}/"]


def large(out: bytes) -> list[str]:
    """The files that `bring` named, since they are large.

    >>> large(b"usr/lib/x is over max-size\\n\\r   12  3%  1MB/s  0:00:01\\r")
    ['usr/lib/x']
    """
    found = (re.fullmatch(rb"(.+) is over max-size", line) for line in re.split(b"[\r\n]", out))
    return [rsync.plain_name(each.group(1)) for each in found if each]


def bring_some(
    able: Version, reach: list[str], images: str, into: str, limits: Sequence[str] = ()
) -> list[str]:
    """Bring the files named on standard input (`names`), and what directories above them have.

    images: the directory of all images. From one below the top of a module, rsync 3.5.0 without
    chroot lists such files and then says that they have vanished.
    """
    flags = [*rsync.archive_flags(able), "--from0", "--files-from=-", *limits]
    return ["rsync", *flags, *reach, "--", f"{images}/", f"{into}/"]


def names(image: str, files: Sequence[str]) -> bytes:
    """The list for `bring_some`: what stands before /./ is not made here."""
    return b"".join(os.fsencode(f"{image}/./{path}") + b"\0" for path in files)


def tells_when_asked(able: Version) -> bool:
    """Whether it says how far it is when it gets SIGVTALRM; a line for every file costs a tenth."""
    return able.number >= _ASKED_SINCE
