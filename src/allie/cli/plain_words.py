"""The arguments of a plain command line, without argparse, which takes as long as Python's start.

Plain are the options of a verb by their whole names, each value a word of its own, and as many
other words as it has names for. All else (help, slips, `--root=/x`, actions) is for `cli.parsing`.
"""

from __future__ import annotations

import sys
from _collections_abc import Sequence

from allie.core.value import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType, SimpleNamespace
else:
    SimpleNamespace = type(sys.implementation)  # types takes a third of a millisecond


class _Verb:
    """Takes what `add_arguments` says to a parser. Raises TypeError where that is not plain."""

    def __init__(self) -> None:
        self.values: dict[str, object] = {}
        self.names: list[str] = []
        self.options: dict[str, str] = {}
        self.switches: dict[str, str] = {}

    def add_argument(
        self, name: str, *, default: object = None, action: str = "", **more: str
    ) -> None:
        """As argparse has it: an option with a value, a switch, or the name of a word."""
        if more.keys() - {"dest", "metavar", "help"} or action not in ("", "store_true"):
            raise TypeError(name)
        if not name.startswith("-"):
            self.names.append(name)
            return
        where = more.get("dest") or name.lstrip("-").replace("-", "_")
        (self.switches if action else self.options)[name] = where
        self.values[where] = False if action else default


def parse(module: ModuleType, words: Sequence[str]) -> SimpleNamespace | None:
    """The arguments, as argparse would give them; None where that is to be asked."""
    verb = _Verb()
    try:
        module.add_arguments(verb)
    except (AttributeError, TypeError):
        return None
    left = iter(words)
    for word in left:
        if word in verb.switches:
            verb.values[verb.switches[word]] = True
        elif word in verb.options:
            verb.values[verb.options[word]] = value = next(left, "-")
            if value.startswith("-"):
                return None
        elif word.startswith("-") or not verb.names:
            return None
        else:
            verb.values[verb.names.pop(0)] = word
    return None if verb.names or hasattr(module, "ACTIONS") else SimpleNamespace(**verb.values)
