"""Bring an image to a PC: rsync's command lines.

A first fetch is one command, which looks for no holes and leaves out files of LARGE and more. Where
it left out any, a second one follows: that of an update, which brings whatever is still missing or
differs. No name is read out of what rsync prints, for progress and names share its lines; but where
it prints nothing beside progress, and names of what has come, it left out nothing.
"""

from __future__ import annotations

import os
import re
import signal
from _collections_abc import Callable, Sequence

from allie.core.errors import PROTECTED, NotWritten
from allie.core.value import Value
from allie.machine import console
from allie.machine.programs import pipes, process, process_groups
from allie.machine.programs.process import Finished
from allie.machine.programs.process_groups import Bounds
from allie.machine.transfer import rsync
from allie.machine.transfer.rsync import Version

_ASKED_SINCE = (3, 2)
_PROGRESS = rb"[\s\d,.%:?kMGTB/s]*(\(xfr#\d+, \w+-chk=\d+/\d+\)\s*)?"  # a line that is no more
_OVER = b" is over max-size"  # how it ends the line about a file that it leaves out
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


class Filling:
    """The tree of an update is filled from the present one while the store lists the image.

    rsync reads from a pipe what it is to ask for, and does nothing to the tree before that has come
    to its end, which is when the tree is full.
    """

    def __init__(self, fill: Callable[[], None]) -> None:
        self._fill, self._pid = fill, 0

    def __enter__(self) -> Filling:
        self._gate, write = os.pipe()
        self._pid = process.fork(lambda: self._work(write), (None, None, None))
        os.close(write)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind and self._pid:
            process_groups.end(self._pid)
        self._wait()

    def _work(self, write: int) -> int:
        os.write(write, rsync.names([""]))  # all; the pipe is open for as long as we are there
        self._fill()
        return 0

    def _wait(self) -> None:
        if self._pid:
            process.wait(self._pid)
            self._pid = 0

    def was_enough(self, run: Callable[[int], Finished]) -> bool:
        """Have rsync run; whether it brought all, at its first and only try. The tree is full then.

        Else it waited for longer than the store does, or saw the disk full of a copy that is gone
        by now, or something is wrong indeed.
        """
        if not self._pid:
            return False
        done = run(self._gate)
        self._wait()
        return done.code == 0 and not done.cut


def fetch(
    what: Transfer,
    store: str,
    stall: float,
    follow: Callable[[bytes], None] | None = None,
    asks: int = 0,
    filling: Filling | None = None,
    begun: Callable[[], None] | None = None,
) -> None:
    """Bring an image from a store into a tree.

    follow: given whole lines of what rsync prints, to show how far it is. asks: as for
    `process.run`. stall: as for `Bounds`; there is no end for the whole, since an image may take
    hours. filling: of an update's tree, meanwhile. begun: as for `process.run`. Raises
    StoreError, Unreachable, or StateError for this PC's disk. Only where a system is updated in
    place, and so has no other tree to fall back to, what this PC does not let be written stays as
    it is, and is named.
    """
    says_more = False

    def take(lines: bytes) -> None:
        nonlocal says_more
        says_more = says_more or _names_more(lines, what.into)
        if follow:
            follow(lines)

    def run(argv: Sequence[str], source: int | None = None) -> Finished:
        bounds, lines = Bounds(stall, disk=what.into), pipes.by_line(take)
        return process.run(
            argv, bounds=bounds, on_output=lines, asks=asks, source=source, begun=begun
        )

    if filling and filling.was_enough(lambda gate: run(command(what, gated=True), gate)):
        return
    for only_little in (False,) if what.update else (True, False):
        if not (only_little or what.update or says_more):
            break
        done = run(command(what, only_little=only_little))
        if not rsync.is_refused_here(done):
            rsync.check(done, store)
        elif what.update and not what.like:
            image = what.source.rpartition("/")[2]
            console.warn(f"{image}: left as it was on this PC: {rsync.reason(done)}")
        else:
            words = f"cannot be written on this PC: {rsync.reason(done)}"
            raise NotWritten(words, PROTECTED)


def _names_more(lines: bytes, tree: str) -> bool:
    """Whether rsync says more than how far it is, and (where it is asked that) at which file.

    >>> _names_more(b"etc/hosts\\n\\r  1,000  40%  1.00MB/s  0:00:09 (xfr#2, ir-chk=1/3)\\n", "/")
    False
    >>> _names_more(b"\\r  1,000  40%  1.00MB/s  0:00:09 boot/initrd is over max-size\\n", "/")
    True
    """
    said = [line for line in re.split(rb"[\r\n]", lines) if not re.fullmatch(_PROGRESS, line)]
    return any(
        line.endswith(_OVER) or not os.path.lexists(f"{tree}/{rsync.plain_name(line)}")
        for line in said
    )


def command(what: Transfer, *, only_little: bool = False, gated: bool = False) -> list[str]:
    """Rsync's command line.

    gated: standard input names what is to come, and nothing is done before it ends (`Filling`).
    only_little: no files of LARGE and more, each of which it names; of the others holes are filled,
    since with -S rsync writes a kilobyte at a time. Into a fresh tree each file is written where it
    will be, without a rename, which spares an eighth; not into another, where its other names would
    be written, too. An update has the whole list made first: else both ends wait for each other,
    the store for what is asked for, the PC for what is listed.
    """
    flags = [*rsync.archive_flags(what.able, holes=not only_little), "--delete", *what.options]
    flags += ["--inplace"] * (what.fresh and only_little)  # with -S only since rsync 3.1.3
    flags += [f"--max-size={LARGE - 1}", "--info=skip1"] if only_little else []
    flags += [f"--exclude={pattern}" for pattern in what.excluded]
    flags += [f"--copy-dest={what.like}/"] if what.like else []
    flags += ["-z"] * bool(what.update and what.reach)  # no wire leads to a store in a directory
    flags += ["--no-inc-recursive"] * what.update
    flags += ["-r", "--from0", "--files-from=-"] if gated else []
    return ["rsync", *flags, *what.reach, "--", f"{what.source}/", f"{what.into}/"]


def how_to_ask(able: Version) -> int:
    """The signal at which it says how far it is, else 0; a line for every file costs a tenth."""
    return signal.SIGVTALRM if able.number >= _ASKED_SINCE else 0
