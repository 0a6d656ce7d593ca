"""Command lines to arguments; loaded only where there is something to parse."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from types import ModuleType

from allie.core.errors import UsageError
from allie.core.value import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import NoReturn

_NARROWEST, _WIDEST = 60, 100


class Parser(argparse.ArgumentParser):
    """A parser that raises UsageError, one line, instead of printing its usage."""

    def error(self, message: str) -> NoReturn:
        """Called by argparse for whatever it cannot parse."""
        unknown, _, words = message.partition(": ")
        if unknown == "unrecognized arguments" and words.startswith("--"):
            option = words.split()[0].partition("=")[0]
            message = f"{self.prog} has no option {option}"
            if option in ("--root", "--system"):
                message = f"{self.prog} is for the machine that it runs on: it has no {option}"
        raise UsageError(message, f"{self.prog} --help")


def parser_of(verb: str, module: ModuleType) -> Parser:
    """The parser of one verb; its help is the docstring of the verb's module."""

    def formatter(prog: str) -> argparse.HelpFormatter:
        # Given a width it does not import shutil, which takes 3 ms, to ask for one.
        return argparse.RawDescriptionHelpFormatter(prog, width=_width())

    parser = Parser(
        prog=f"allie {verb}",
        description=(module.__doc__ or "").strip(),
        formatter_class=formatter,
    )
    module.add_arguments(parser)
    return parser


def parse(verb: str, module: ModuleType, words: Sequence[str]) -> argparse.Namespace:
    """The arguments of one command line, options and names in any order.

    Raises UsageError; SystemExit after --help.
    """
    return parser_of(verb, module).parse_intermixed_args(words)


def _width() -> int:
    try:
        columns = os.get_terminal_size().columns
    except OSError:
        columns = 80
    return max(_NARROWEST, min(columns - 2, _WIDEST))
