"""Ask a person, once what would be done has been shown."""

from __future__ import annotations

import sys

from allie.core.errors import UsageError
from allie.machine import console


def need(question: str, otherwise: str, *, yes: bool) -> None:
    """Raises UsageError, with the words `otherwise`, where nobody says yes, or is there to.

    yes: it was said on the command line (--yes).
    """
    if not yes:
        need_somebody(f"{otherwise}:")
        ask(question, otherwise)


def need_somebody(words: str) -> None:
    """Raises UsageError, which begins with these words, where no person is at the terminal."""
    if not sys.stdin.isatty():
        raise UsageError(f"{words} nobody is here to say yes", "add --yes")


def ask(question: str, otherwise: str) -> None:
    """Raises UsageError, with the words `otherwise`, where the person does not say yes."""
    sys.stdout.write(f"{console.printable(question)} [y/N] ")
    sys.stdout.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError(otherwise)


def difference(lines: list[str]) -> None:
    """Print a unified difference, with colours; nothing in it can drive the terminal."""
    for each in lines[:2]:
        console.say(console.paint(each, "bold"))
    looks = {"+": "good", "-": "bad", "@": "dim"}
    for each in lines[2:]:
        console.say(console.paint(each, looks.get(each[:1], "")))
