"""Options that many commands share."""

from __future__ import annotations

import json

from allie.core.errors import UsageError
from allie.core.system import System
from allie.core.value import TYPE_CHECKING
from allie.machine import atomic, console, locate, lock

if TYPE_CHECKING:
    import argparse
    from typing import Any


def add_root(parser: argparse.ArgumentParser, *, system: bool = True) -> None:
    """--root and --system: work on another system's root."""
    parser.add_argument(
        "--root", default="/", metavar="DIR", help="work on the system whose root is DIR"
    )
    if system:
        parser.add_argument(
            "--system",
            dest="sibling",
            default="",
            metavar="NAME",
            help="work on this PC's system NAME",
        )


def add_json(parser: argparse.ArgumentParser) -> None:
    """--json: for programs."""
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def system_of(args: argparse.Namespace) -> System:
    """The system that --root names."""
    return locate.open_system(args.root)


def words(text: str) -> tuple[str, ...]:
    """What an option lists, by commas or blanks."""
    return tuple(text.replace(",", " ").split())


def read_layout(file: str) -> str:
    """The text of a layout. Raises UsageError where there is no such file."""
    text = atomic.read(file)
    if text is None:
        raise UsageError(f"{file} is missing")
    return text


def say_json(value: Any) -> None:
    """Print a value as JSON; bytes that are no text arrive as lone surrogates."""
    console.say(json.dumps(value, indent=1))


def tell_if_running(here: System) -> None:
    """A view does not wait for a tick; it says that what it shows may change (RULES A2)."""
    if lock.is_running(here):
        console.warn("a tick is running now: what follows may change")
