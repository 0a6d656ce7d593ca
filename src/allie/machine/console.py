"""What people see: lines on a terminal or in the journal, quiet under cron.

All that goes to a terminal goes through here, and nothing in it can drive the terminal: names of
files, what scripts print and what a store answers may hold anything. So whatever is no letter, sign
or blank is shown escaped (`\\x1b`); the colours are ours, by a mark that nobody else can know.

Each line is flushed at once, for whoever waits at the other end of a pipe. Where it cannot be
written (the reader has gone, the disk is full) ALLiE goes on, and only `finish` speaks of it.
"""

from __future__ import annotations

import codecs
import os
import select
import sys
import time
from _collections_abc import Callable

from allie.core.errors import FAILED
from allie.core.lean import re
from allie.core.value import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

_PROGRESS = rb"[\r ]([0-9,]+)\s+(\d+)%\s+([0-9.]+[kMGT]?B/s)\s+[0-9:?]+"
_AFTER, _EACH = 2.0, 0.2  # seconds of work before progress is shown, and from one to the next
_COLOURS = {"good": "32", "bad": "31", "warn": "33", "dim": "2", "bold": "1", "line": "4"}
_SECRET = os.urandom(8).hex()  # a colour that a name or message brings along is none of ours
_undelivered: list[OSError] = []
_unended: list[str] = []  # the line of progress that stands on the terminal, if one does
_OURS = f"\x1b{_SECRET}["  # so our own colours begin


def have_streams() -> None:
    """Have standard input, output and error, if only /dev/null: some callers have closed them.

    Else the next file that is opened, say the ledger, would be what is printed to.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number is free
    sys.stdin = sys.stdin or os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)


def is_watched() -> bool:
    """Whether somebody (a terminal, or the journal) wants to read what goes well, too."""
    return sys.stdout.isatty() or "JOURNAL_STREAM" in os.environ


def paint(text: str, look: str) -> str:
    """The text in a colour; where it goes to what takes none, it is printed without."""
    if look not in _COLOURS:
        return text
    return f"\x1b{_SECRET}[{_COLOURS[look]}m{text}\x1b{_SECRET}[0m"


def printable(text: str) -> str:
    """A path or message fit for a terminal: control characters and raw bytes shown escaped."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def say(text: str = "") -> None:
    """A line of output that was asked for; a newline in it, as of a name, is shown escaped."""
    _print(_plain(text, sys.stdout), sys.stdout)


def say_text(text: str) -> None:
    """Several lines of a text of ours."""
    for line in text.split("\n"):
        say(line)


def tell(text: str) -> None:
    """A line of what goes well: for those who watch; nothing under cron."""
    if is_watched():
        say(text)


def warn(text: str) -> None:
    """A line that needs attention, on standard error."""
    _print(_plain(text, sys.stderr), sys.stderr)


def is_heard() -> bool:
    """Whether all that was said so far reached its reader."""
    return not _undelivered


def finish(code: int) -> int:
    """At the end of a command, whose exit status would be `code`: what it is.

    A reader who has seen enough and left (`allie log | head`) is nothing to complain of.
    """
    _end_progress()
    for stream in (sys.stdout, sys.stderr):
        _deliver(stream)  # argparse prints by itself
    for error in _undelivered:
        if not isinstance(error, BrokenPipeError):
            warn(f"allie: not all of the output could be written: {error.strerror}")
            return code or FAILED
    return code


class Echo:
    """Passes on what a program prints, as it comes: its lines and tabs, and nothing else of it."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def show(self, output: bytes, last: bool = False) -> None:
        """Some of it; a letter that is not complete yet waits for the rest."""
        text = self._decoder.decode(output, last).replace("\r\n", "\n")
        shown = re.sub("[^\n\t -~]+", lambda odd: printable(odd.group()), text).encode()
        _end_progress()
        _deliver(sys.stdout)
        while shown:
            try:
                shown = shown[os.write(1, shown) :]
            except OSError as error:
                _not_now(1, error)


class Moved:
    """How far rsync is, from its progress: over several commands, which each begin at nothing."""

    def __init__(self) -> None:
        self.size = self.share = 0  # bytes; per cent of all that there is
        self.rate = ""
        self._before, self._last = (0, 0), (0, 0)

    def take(self, output: bytes) -> bool:
        """Some of what it prints; whether that says more."""
        found = re.findall(_PROGRESS, output)
        for size, share, rate in found:
            now = (int(size.replace(b",", b"") or 0), int(share))
            if now[0] < self._last[0]:  # the next command has begun
                self._before = (self.size, self.share)
            self._last = now
            self.size = self._before[0] + now[0]
            self.share = min(self._before[1] + now[1], 100)
            self.rate = rate.decode()
        return bool(found)


def progress(what: str) -> tuple[list[str], Callable[[bytes], None] | None]:
    """(rsync's options, what to do with its output) for progress on a terminal; else nothing.

    Shows bytes, share, rate and time left, once the work has lasted two seconds. The share is of a
    list of files that is complete (--no-inc-recursive), or it would run backwards as that grows.
    The time left goes by it: rsync's own is, at a file's end, the time that all took so far.
    """
    if not is_screen(sys.stderr):
        return [], None
    moved, began = Moved(), time.monotonic()
    after = began + _AFTER

    def show(output: bytes) -> None:
        nonlocal after
        now = time.monotonic()
        if not moved.take(output) or now < after:
            return
        after = now + _EACH
        words = printable(f"{what}: {moved.size:,} bytes, {moved.share} %, {moved.rate}")
        if moved.share:
            minutes, seconds = divmod(int((now - began) * (100 / moved.share - 1)), 60)
            words += f", {minutes}:{seconds:02} left"
        print(f"\r\x1b[K{words}", end="", file=sys.stderr, flush=True)
        _unended[:] = [words]

    return ["--info=progress2", "--no-inc-recursive"], show


def _plain(line: str, to: TextIO) -> str:
    """Escape what a file name could smuggle in; our own colours are made colours, or go."""
    first, *coloured = line.split(_OURS)
    found = printable(first)
    colours = bool(coloured) and is_screen(to) and not os.environ.get("NO_COLOR")
    for piece in coloured:
        colour, _, text = piece.partition("m")
        found += f"\x1b[{colour}m" * colours + printable(text)
    return found


def is_screen(to: TextIO) -> bool:
    """Whether a stream is a terminal that can do more than print lines."""
    return to.isatty() and os.environ.get("TERM") != "dumb"


def columns() -> int:
    """How wide the terminal is; 80 where there is none."""
    try:
        return os.get_terminal_size().columns or 80
    except OSError:
        return 80


def as_shown(lines: list[str]) -> str:
    """Lines as they are printed on standard output: for a pager that prints them there."""
    return "".join(f"{_plain(line, sys.stdout)}\n" for line in lines)


def _escaped(letter: str) -> str:
    """One letter that a terminal would not show as one: `\\n`, `\\x1b`, a raw byte `\\xff`."""
    number = ord(letter)
    raw = 0xDC80 <= number <= 0xDCFF  # as surrogateescape (PEP 383) has a byte that is no UTF-8
    return f"\\x{number - 0xDC00:02x}" if raw else repr(letter)[1:-1]


def _print(line: str, to: TextIO) -> None:
    """Print also what the terminal's own set of letters lacks."""
    _end_progress()
    try:
        print(line, file=to)
    except UnicodeEncodeError:
        own = to.encoding or "ascii"
        print(line.encode(own, "backslashreplace").decode(own), file=to)
    except OSError as error:  # of a line that is longer than what is held back
        _not_now(to.fileno(), error)
    _deliver(to)


def _end_progress() -> None:
    """Begin a new line after that of progress."""
    if _unended:
        _unended.clear()
        _print("", sys.stderr)


def _deliver(to: TextIO) -> None:
    """Have all that was printed reach its reader."""
    while True:
        try:
            return to.flush()
        except OSError as error:
            _not_now(to.fileno(), error)


def _not_now(descriptor: int, error: OSError) -> None:
    """Wait until it takes more, where its other end is slow; else it is /dev/null from now on."""
    if isinstance(error, BlockingIOError):
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        poll.poll()
        return
    _undelivered.append(error)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)
