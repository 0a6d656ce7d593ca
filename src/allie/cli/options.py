"""Options that many commands share."""

from __future__ import annotations

import math
import os

from allie.core.errors import UsageError
from allie.core.lean import json
from allie.core.system import STORE, System
from allie.core.value import TYPE_CHECKING
from allie.machine import console
from allie.machine.files import atomic, lock
from allie.machine.roots import open_system

if TYPE_CHECKING:
    from _collections_abc import Iterable
    from argparse import ArgumentParser, Namespace
    from typing import Any
else:
    ArgumentParser = Namespace = object  # for annotations; what a stub calls never loads argparse

_LAST_PORT = 65535

__all__ = ["STORE", "ArgumentParser", "Namespace"]


def add_root(parser: ArgumentParser, *, system: bool = True) -> None:
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


def add_store(parser: ArgumentParser) -> None:
    """--store: which store of this server's."""
    default = os.environ.get("ALLIE_STORE") or STORE
    parser.add_argument("--store", default=default, metavar="DIR", help=f"the store ({default})")


def add_doors(parser: ArgumentParser) -> None:
    """Where the doors of a store are."""
    parser.add_argument("--address", type=_address, help="listen here (everywhere)")
    parser.add_argument("--port", type=port, help="the rsync door's (873)")
    parser.add_argument("--ssh-port", type=port, help="the ssh door's (8730)")


def number(text: str) -> int:
    """A number as an option has it; int() would also take other digits than ours, and `1_0`."""
    if not (text.isascii() and text.removeprefix("-").isdigit()):
        raise ValueError(text)
    return int(text)


def port(text: str) -> int:
    """The number of a port. Raises UsageError where none has it: 0 is not the default."""
    found = number(text)
    if not 1 <= found <= _LAST_PORT:
        raise UsageError(f"{text} is no port", f"one from 1 to {_LAST_PORT}")
    return found


def _address(text: str) -> str:
    """Where to listen. Raises UsageError where nothing is named: that is not everywhere."""
    if not text.strip():
        hint = "leave it out, to listen everywhere; if setup has one: `store setup --remove` before"
        raise UsageError("--address names none", hint)
    return text


def need_root() -> None:
    """Raise UsageError where we are not root."""
    if os.geteuid() != 0:
        raise UsageError("only root can do this", "run it as root, as with sudo")


def add_json(parser: ArgumentParser) -> None:
    """--json: for programs."""
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def add_view(parser: ArgumentParser) -> None:
    """The options of what only shows something: --root, --system and --json."""
    add_root(parser)
    add_json(parser)


def no_json(args: Namespace) -> None:
    """Raise UsageError for --json: what is to be done prints none."""
    if args.json:
        what = " ".join(filter(None, (args.verb, getattr(args, "action", ""))))
        raise UsageError(f"`allie {what}` prints no JSON", "leave out --json")


def system_of(args: Namespace) -> System:
    """The system that --root names."""
    return open_system.open_system(args.root)


def joined_system(args: Namespace) -> System:
    """The system that --root names. Raises SettingsError where it follows no store."""
    here = system_of(args)
    open_system.need_name(here)
    return here


def path_of(here: System, text: str) -> str:
    """A path on a system, without its first slash: from its top, or from where we stand in it."""
    if not os.path.isabs(text):
        stands, top = f"{os.getcwd()}/", here.at("")
        text = stands[len(top) :] + text if stands.startswith(top) else text
    return os.path.normpath(f"/{text}").lstrip("/")


def say_removed(files: list[str]) -> None:
    """Say which files of a timer were removed."""
    for line in [f"removed {path}" for path in files] or ["there is no such timer"]:
        console.say(line)


def words(text: str) -> tuple[str, ...]:
    """What an option lists, by commas or blanks."""
    return tuple(text.replace(",", " ").split())


def read_layout(file: str) -> str:
    """The text of a layout. Raises UsageError where there is no such file."""
    text = atomic.read(file)
    if text is None:
        there = os.path.lexists(file)
        raise UsageError(f"{file} is {'no file' if there else 'missing'}", "--layout FILE")
    return text


def show(args: Namespace, value: Any, lines: Iterable[str]) -> None:
    """Print the value where --json asks for it, else the lines."""
    if args.json:
        say_json(value)
    else:
        for line in lines:
            console.say(line)


def say_json(value: Any) -> None:
    """Print a value as JSON (RFC 8259), in ASCII, whatever names and numbers are in it.

    A `Value` in it becomes an object.
    """
    text = json.dumps(_exchangeable(value), indent=1, allow_nan=False)
    console.say_text(text.replace("\x7f", "\\u007f"))  # the one control character that is left raw


def _exchangeable(value: Any) -> Any:
    r"""The value as every reader of JSON takes it.

    A byte that is no UTF-8 is shown as \xff is, by four letters, and a lone surrogate by six: JSON
    has no way to say them. A number that is none is null.
    """
    if isinstance(value, str):
        return value if value.isascii() else _text(value)
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {_exchangeable(key): _exchangeable(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_exchangeable(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _text(text: str) -> str:
    return "".join(
        console.printable(each) if "\ud800" <= each <= "\udfff" else each for each in text
    )


def tell_if_running(here: System) -> None:
    """Say that a tick is running: a view does not wait for its end."""
    if lock.is_running(here):
        console.warn("a tick is running now: what follows may change")
