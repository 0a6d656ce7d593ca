"""What people see: lines on a terminal or in the journal, quiet under cron.

All that goes to a terminal goes through here, and nothing in it can drive the terminal: names of
files, what scripts print and what a store answers may hold anything. So whatever is no letter, sign
or blank is shown escaped (`\\x1b`); the colours are ours, by a mark that nobody else can know.
"""

from __future__ import annotations

import codecs
import os
import re
import sys
import time
from collections.abc import Callable

from allie.core.value import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

_PROGRESS = rb"([0-9,]+)\s+(\d+)%\s+([0-9.]+[kMGT]?B/s)\s+([0-9:?]+)"
_AFTER = 2.0  # seconds of work before progress is shown
_COLOURS = {"good": "32", "bad": "31", "warn": "33", "dim": "2", "bold": "1", "line": "4"}
_SECRET = os.urandom(8).hex()  # a colour that a name or message brings along is none of ours
_OURS = rf"\x1b{_SECRET}\[([0-9]+)m"


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
    sys.stderr.flush()


class Echo:
    """Passes on what a program prints, as it comes: its lines and tabs, and nothing else of it."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def show(self, output: bytes, last: bool = False) -> None:
        """Some of it; a letter that is not complete yet waits for the rest."""
        text = self._decoder.decode(output, last).replace("\r\n", "\n")
        shown = re.sub("[^\n\t -~]+", lambda odd: printable(odd.group()), text).encode()
        sys.stdout.flush()
        while shown:
            shown = shown[os.write(1, shown) :]


def progress(what: str) -> tuple[list[str], Callable[[bytes], None] | None]:
    """(rsync's options, what to do with its output) for progress on a terminal; else nothing.

    Shows bytes, share, rate and time left, once the work has lasted two seconds.
    """
    if not is_screen(sys.stderr):
        return [], None
    began = time.monotonic()

    def show(output: bytes) -> None:
        found = list(re.finditer(_PROGRESS, output))
        if not found or time.monotonic() - began < _AFTER:
            return
        size, share, rate, left = (each.decode(errors="replace") for each in found[-1].groups())
        end = "\n" if share == "100" else ""
        words = printable(f"{what}: {size} bytes, {share} %, {rate}, {left} left")
        print(f"\r\x1b[K{words}", end=end, file=sys.stderr, flush=True)

    return ["--info=progress2", "--no-inc-recursive"], show


def _plain(line: str, to: TextIO) -> str:
    """Escape what a file name could smuggle in; our own colours are made colours, or go."""
    pieces = re.split(_OURS, line)
    if len(pieces) == 1:
        return printable(line)
    colours = is_screen(to) and not os.environ.get("NO_COLOR")
    return "".join(
        f"\x1b[{piece}m" * colours if index % 2 else printable(piece)
        for index, piece in enumerate(pieces)
    )


def is_screen(to: TextIO) -> bool:
    """Whether a stream is a terminal that can do more than print lines."""
    return to.isatty() and os.environ.get("TERM") != "dumb"


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
    try:
        print(line, file=to)
    except UnicodeEncodeError:
        own = to.encoding or "ascii"
        print(line.encode(own, "backslashreplace").decode(own), file=to)
