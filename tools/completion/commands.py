"""What can be typed, read from the parsers: each command with its options and arguments.

A command is a verb (`status`) or a verb and its action (`image import`). What kind of thing an
option or argument takes is found by what the help calls it; `_KINDS` is the whole table.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from types import ModuleType
from typing import NamedTuple

from allie.cli import main, manual, parsing

# What a shell can complete, beside `of:one,another`, which are these words. `overlays` and `images`
# are lists with commas; `any` is whatever it is.
KINDS = "directory file system overlay overlays image images host script command any".split()
_KINDS = {
    "DIR": "directory",
    "DEVICE|DIR": "file",
    "DEVICE": "file",
    "DISK": "file",
    "FILE": "file",
    "PATH": "file",
    "PLACE": "file",
    "SOURCE": "file",
    "KEY": "file",
    "IMAGE": "image",
    "IMAGE,…": "images",
    "OVERLAYS": "overlays",
    "SCRIPT": "script",
    "COMMAND": "command",
    "PAGE": f"of:{','.join(manual.PAGES)}",
}
# Where the same word means something else
_KINDS_IN = {
    ("join", "STORE"): "directory",
    ("enter", "SYSTEM"): "system",
    ("export", "SYSTEM"): "system",
    ("boot", "SYSTEM"): "system",
    ("vm", "SYSTEM"): "system",
    ("system", "NAME"): "system",
    ("image", "NAME"): "image",
    ("overlay", "NAME"): "overlay",
    ("overlay why", "NAME"): "file",
    ("store retire", "HOST"): "host",
    ("store private", "HOST"): "host",
}
# In the help of an option, whose it is: `import, capture: do that before it is an image`
_ONLY_OF = re.compile(r"([a-z]+(?:, [a-z]+)*): ")
# A row of the table in a module's docstring: what one of its actions is for
_ROW = re.compile(r"^allie (\w+ \w+)(?: [A-Z]+)*  +(\S.*)$", re.MULTILINE)
_SPOKEN_OF = {"mmdebstrap": "import"}  # what only this action does


class Option(NamedTuple):
    """An option: its name, the long one if there are two; its help, and a kind, if it takes one."""

    name: str
    help: str
    takes: str


class Argument(NamedTuple):
    """What else is said to a command, in order; the last may be said many times."""

    name: str
    help: str
    kind: str
    many: bool


class Command(NamedTuple):
    """One command, as `status` or `image import`; and what is offered in place of its action."""

    name: str
    help: str
    options: tuple[Option, ...]
    arguments: tuple[Argument, ...]


GLOBAL = (
    Option("--root", "work on the system whose root is DIR", "directory"),
    Option("--system", "work on this PC's system NAME", "system"),
    Option("--store", "the store", "directory"),
    Option("--help", "list the commands", ""),
    Option("--version", "show the version", ""),
)


def all_of_them() -> list[Command]:
    """Every command that has a help; the kit's own are for the kit."""
    found: list[Command] = []
    for verb, (_, what) in main.VERBS.items():
        if what:
            found += _of_verb(verb, what, main.module_of(verb))
    return found


def verbs(commands: Iterable[Command]) -> list[Command]:
    """Those that come first on a command line."""
    return [each for each in commands if " " not in each.name]


def actions_of(verb: str, commands: Iterable[Command]) -> list[Command]:
    """The actions of a verb, if it has any."""
    return [each for each in commands if each.name.startswith(f"{verb} ")]


def last_word(command: Command) -> str:
    """`import` of `image import`."""
    return command.name.split()[-1]


def _of_verb(verb: str, what: str, module: ModuleType) -> list[Command]:
    parser = parsing.parser_of(verb, module)
    own = _spoken(parser, verb, what)
    modules: dict[str, ModuleType] = getattr(module, "ACTIONS", {})
    if modules:  # each action has a parser of its own
        found = [own._replace(arguments=())]
        for action, room in modules.items():
            first = (room.__doc__ or "").strip().partition("\n")[0].rstrip(".")
            found.append(_spoken(parsing.parser_of(verb, room), f"{verb} {action}", first))
        return found
    choices = _choices(parser)
    if not choices:
        return [own]
    shared = tuple(each for each in own.options if not _whose(each.help, choices))
    described = dict(_ROW.findall(module.__doc__ or ""))
    found = [Command(verb, what, shared, ())]
    for action in choices:
        its = _spoken(parser, f"{verb} {action}", described.get(f"{verb} {action}", ""))
        found.append(_of_action(its, action, choices))
    return found


def _of_action(command: Command, action: str, choices: tuple[str, ...]) -> Command:
    """Of what all actions take together, what this one takes."""

    def fits(text: str) -> bool:
        return action in (_whose(text, choices) or choices)

    options = (
        each._replace(help=_ONLY_OF.sub("", each.help))
        for each in command.options
        if fits(each.help)
    )
    arguments = (each for each in command.arguments[1:] if fits(each.help))
    return command._replace(options=tuple(options), arguments=tuple(arguments))


def _spoken(parser: argparse.ArgumentParser, name: str, what: str = "") -> Command:
    """A parser's options and arguments."""
    options: list[Option] = []
    arguments: list[Argument] = []
    for each in parser._actions:
        if each.help == argparse.SUPPRESS:
            continue  # for ALLiE's own programs
        if each.option_strings:
            takes = "" if each.nargs in (0, "?") else _kind(each, name)
            name_of_it = max(each.option_strings, key=len)
            text = "show its help" if name_of_it == "--help" else str(each.help or "")
            options.append(Option(name_of_it, text, takes))
        else:
            many = each.nargs in ("*", "+")
            arguments.append(Argument(each.dest, str(each.help or ""), _kind(each, name), many))
    return Command(name, what, tuple(options), tuple(arguments))


def _kind(action: argparse.Action, command: str) -> str:
    """What an option or argument takes."""
    if action.choices:
        return f"of:{','.join(map(str, action.choices))}"
    if action.option_strings[:1] == ["--system"]:
        return "system" if action.dest == "sibling" else "any"
    if action.option_strings[:1] == ["--store"]:
        return "directory" if action.metavar == "DIR" else "any"
    called = str(action.metavar or action.dest).upper()
    for where in (command, command.split()[0]):
        if (where, called) in _KINDS_IN and not action.option_strings:
            return _KINDS_IN[where, called]
    return _KINDS.get(called, "any")


def _choices(parser: argparse.ArgumentParser) -> tuple[str, ...]:
    """The actions of a verb that has one parser for all of them."""
    for each in parser._actions:
        if each.dest == "action" and each.choices:
            return tuple(each.choices)
    return ()


def _whose(text: str, choices: tuple[str, ...]) -> list[str]:
    """The actions whose option this is; empty: all of them."""
    found = _ONLY_OF.match(text)
    words = found[1].split(", ") if found else []
    words = [_SPOKEN_OF.get(each, each) for each in words]
    return words if set(words) <= set(choices) else []
