"""What the tour shows: steps, commands with their real output, and claims that were checked.

A command runs on a terminal of its own, so that it prints what an administrator would see.
"""

from __future__ import annotations

import errno
import os
import select
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

MOST = 16  # lines of one output that are shown
_PATIENCE = 60.0  # seconds for one command; each takes about one
_GRACE = 5.0  # seconds in which a command that was told to end does so
_COLOURS = {"step": "1;36", "command": "1", "good": "32", "bad": "31", "dim": "2"}


class ClaimFailed(Exception):
    """Something is not as the tour says."""


def paint(text: str, look: str) -> str:
    """The text in a colour, on a terminal that wants colours (no-color.org)."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{_COLOURS[look]}m{text}\x1b[0m"


def heading(number: int, of: int, title: str) -> None:
    """The next step begins."""
    line = f"── {number}/{of}  {title} "
    print(f"\n{paint(line.ljust(80, '─'), 'step')}", flush=True)


def say(text: str) -> None:
    """A sentence or two in plain words, in lines that the terminal has room for."""
    width = min(shutil.get_terminal_size().columns - 1, 100)
    print("\n" + textwrap.fill(text, width, break_long_words=False), flush=True)


def command(line: str) -> None:
    """A command as it is typed; the further lines of a here-document as the shell shows them."""
    first, *more = line.splitlines()
    print("\n" + paint(f"  $ {first}", "command"))
    for each in more:
        print(paint(f"  > {each}", "command"))
    sys.stdout.flush()


def output(text: str) -> None:
    """What a command printed, long output cut."""
    lines = text.splitlines()
    for line in lines[:MOST]:
        print(f"    {line}".rstrip())
    if len(lines) > MOST:
        print(paint(f"    … and {len(lines) - MOST} lines more", "dim"))
    sys.stdout.flush()


def claim(holds: bool, text: str, found: object = "") -> None:
    """Say that something is so, having looked. Raises ClaimFailed where it is not."""
    if not holds:
        raise ClaimFailed(f"it is not so: {text}" + (f"; found: {found!r}" if found else ""))
    print(paint("  ✓ ", "good") + text, flush=True)


def run(line: str, at: Path, env: Mapping[str, str]) -> tuple[int, str]:
    """Run a line of shell on a terminal of its own, in the directory `at`: (status, output)."""
    ours, theirs = os.openpty()
    colours = {} if sys.stdout.isatty() else {"NO_COLOR": "1"}
    process = subprocess.Popen(
        ["/bin/sh", "-c", line],
        cwd=at,
        env={**env, **colours},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,  # a Ctrl-C is for us, and we end it in order
    )
    os.close(theirs)
    try:
        text = _read(ours)
        return process.wait(_GRACE), text
    finally:
        os.close(ours)
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command that is still running, as Ctrl-C would; then by force."""
    for number in (signal.SIGINT, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE)


def _read(terminal: int) -> str:
    """Everything up to the end, which a terminal reports as an error; ClaimFailed if it is late."""
    pieces: list[bytes] = []
    deadline = time.monotonic() + _PATIENCE
    while select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
        try:
            piece = os.read(terminal, 65536)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return b"".join(pieces).decode(errors="replace").replace("\r\n", "\n")
        pieces.append(piece)
    raise ClaimFailed(f"a command ends within {_PATIENCE:.0f} s")
