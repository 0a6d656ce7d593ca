"""What people see: lines on a terminal or in the journal, quiet under cron."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable

_PROGRESS = rb"([0-9,]+)\s+(\d+)%\s+([0-9.]+[kMGT]?B/s)\s+([0-9:?]+)"
_AFTER = 2.0  # seconds of work before progress is shown
_COLOURS = {"good": "32", "bad": "31", "warn": "33", "dim": "2", "bold": "1"}
_OURS = rf"(\x1b\[(?:0|{'|'.join(_COLOURS.values())})m)"


def is_watched() -> bool:
    """Whether somebody (a terminal, or the journal) wants to read what goes well, too."""
    return sys.stdout.isatty() or "JOURNAL_STREAM" in os.environ


def paint(text: str, look: str) -> str:
    """The text in a colour, on a terminal that wants colours (NO_COLOR, no-color.org)."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or look not in _COLOURS:
        return text
    return f"\x1b[{_COLOURS[look]}m{text}\x1b[0m"


def printable(text: str) -> str:
    """A path or message fit for a terminal: control characters and raw bytes shown escaped."""
    clean = text.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in clean)


def say(text: str = "") -> None:
    """A line of output that was asked for."""
    print("\n".join(_plain(line) for line in text.split("\n")))


def tell(text: str) -> None:
    """A line of what goes well: for those who watch; nothing under cron."""
    if is_watched():
        say(text)


def warn(text: str) -> None:
    """A line that needs attention, on standard error."""
    print(_plain(text), file=sys.stderr, flush=True)


def progress(what: str) -> tuple[list[str], Callable[[bytes], None] | None]:
    """(rsync's options, what to do with its output) for progress on a terminal; else nothing.

    Shows bytes, share, rate and time left, once the work has lasted two seconds.
    """
    if not sys.stderr.isatty():
        return [], None
    began = time.monotonic()

    def show(output: bytes) -> None:
        found = list(re.finditer(_PROGRESS, output))
        if not found or time.monotonic() - began < _AFTER:
            return
        size, share, rate, left = (each.decode() for each in found[-1].groups())
        end = "\n" if share == "100" else ""
        line = f"\r\x1b[K{what}: {size} bytes, {share} %, {rate}, {left} left{end}"
        print(line, end="", file=sys.stderr, flush=True)

    return ["--info=progress2", "--no-inc-recursive"], show


def _plain(line: str) -> str:
    """Escape what a file name could smuggle in; our own colours stay."""
    pieces = re.split(_OURS, line)
    return "".join(piece if index % 2 else printable(piece) for index, piece in enumerate(pieces))
