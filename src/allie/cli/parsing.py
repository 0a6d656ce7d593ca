"""Command lines to arguments; loaded only where there is something to parse."""

from __future__ import annotations

import argparse
import re
from _collections_abc import Sequence
from types import ModuleType

from allie.core.errors import UsageError, did_you_mean
from allie.core.value import TYPE_CHECKING
from allie.machine import console

if TYPE_CHECKING:
    from typing import NoReturn

_NONE_OF = r"argument (\S+): invalid choice: '(.*)' \(choose from (.*)\)"
_NUMBER = r"argument (\S+): invalid (?:number|port) value: ('.*')"
_ALONE = r"argument (\S+): expected one argument"
_UNKNOWN = "unrecognized arguments: "
_MISSING = "the following arguments are required: "
_NARROWEST, _WIDEST, _LEAST = 40, 100, 24  # the least: of a table's last column


class Parser(argparse.ArgumentParser):
    """A parser that raises UsageError, one line, instead of printing its usage."""

    def error(self, message: str) -> NoReturn:
        """Called by argparse for whatever it cannot parse; the words are made ours."""
        hint = ""
        none_of = re.fullmatch(_NONE_OF, message)
        if none_of:
            known = [each.strip("' ") for each in none_of[3].split(",")]
            message = f"{none_of[1]} {none_of[2]!r} is none of {', '.join(known)}"
            hint = did_you_mean(none_of[2], known)
        elif re.fullmatch(_NUMBER, message):
            message = re.sub(_NUMBER, r"\1 \2 is no number", message)
        elif re.fullmatch(_ALONE, message):
            message = re.sub(_ALONE, r"\1 needs a value", message)
        elif message.startswith(_UNKNOWN):
            word = re.split("[ =]", message[len(_UNKNOWN) :])[0]
            message = f"{self.prog}: {word} is too much"
            if word in ("--root", "--system"):
                message = f"{self.prog} is for the machine that it runs on: it has no {word}"
            elif word.startswith("-"):
                message = f"{self.prog} has no option {word}"
                hint = did_you_mean(word, [x for x in self._option_string_actions if x[1] == "-"])
        elif message.startswith(_MISSING):
            words = message[len(_MISSING) :].split(", ")
            names = ", ".join(each if each.startswith("-") else each.upper() for each in words)
            known = [str(each) for action in self._actions for each in action.choices or ()]
            if names.startswith("ACTION"):  # what the others are depends on it
                names, hint = "one of its actions", f"{self.prog} {'|'.join(known)}"
            message = f"`{self.prog}` needs {names}"
        raise UsageError(message, hint or f"{self.prog} --help")

    def _print_message(self, message: str, _file: object = None) -> None:
        """Called by argparse for --help; it would say nothing of a disk that is full."""
        console.say_text(message.rstrip("\n"))


class _Formatter(argparse.HelpFormatter):
    """Help as wide as the terminal; a table in a docstring stays one."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        fill = super()._fill_text

        def row(line: str) -> str:
            """Its last column alone is made narrower."""
            head = re.match(r"\S.*? {2,}(?=\S)", line)
            if not head or width - head.end() < _LEAST:
                return line
            return head[0] + fill(line[head.end() :], width, " " * head.end()).lstrip()

        def block(lines: str) -> str:
            if "  " not in lines:
                return fill(lines, width, indent)
            return "\n".join(map(row, re.sub(r"\n {3,}", " ", lines).split("\n")))

        return "\n\n".join(map(block, text.split("\n\n")))


def parser_of(verb: str, module: ModuleType) -> Parser:
    """The parser of one verb; its help is the docstring of the verb's module."""

    def formatter(prog: str) -> argparse.HelpFormatter:
        # Given a width it does not import shutil, which takes 3 ms, to ask for one.
        return _Formatter(prog, width=max(_NARROWEST, min(console.columns() - 2, _WIDEST)))

    parser = Parser(
        prog=f"allie {verb}", description=(module.__doc__ or "").strip(), formatter_class=formatter
    )
    module.add_arguments(parser)
    return parser


def parse(verb: str, module: ModuleType, words: Sequence[str]) -> argparse.Namespace:
    """The arguments of one command line, options and names in any order.

    A module with ACTIONS has a module for each of them, which takes all words but the action.
    Raises UsageError; SystemExit after --help.
    """
    actions: dict[str, ModuleType] = getattr(module, "ACTIONS", {})
    for at, word in enumerate(words):
        if word in actions and words[at - 1 : at] != ["--store"]:
            rest = [*words[:at], *words[at + 1 :]]
            args = parser_of(f"{verb} {word}", actions[word]).parse_intermixed_args(rest)
            args.action = word
            return args
    return parser_of(verb, module).parse_intermixed_args(words)
