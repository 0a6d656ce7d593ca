"""Cleaning: what a report says, made fit to be kept and shown.

Whatever comes in, what goes out is text without control characters and of a bounded length, numbers
of a bounded size, and times on the server's clock that are not after the report's arrival. All that
one report may bring along is bounded, too: beyond that it is cut, and that is noted. Pure.
"""

from __future__ import annotations

import math
import sys
from typing import Any

from allie.machine.console import printable

WORDS = 400  # letters of a text
_NAME = 120
_TEXT, _ITEMS = 96 << 10, 1500  # letters, and entries of lists, of one whole report
_LARGEST = 1 << 60  # of a number


class Cleaner:
    """Takes one report apart. What it had to leave out shows in `is_cut` and `is_odd`."""

    def __init__(self, arrived: float) -> None:
        self.arrived = arrived
        self.skew = 0.0  # seconds that the PC's clock is ahead
        self.is_cut = self.is_odd = False
        self._text, self._items = _TEXT, _ITEMS

    def text(self, value: Any, most: int = WORDS) -> str:
        """One line of text."""
        if value.__class__ is not str:
            self.is_odd = self.is_odd or value is not None
            return ""
        if len(value) > most or not value.isprintable():
            self.is_cut = self.is_cut or len(value) > most
            value = printable(value[:most])[:most]
        self._text -= len(value)
        if self._text < 0:
            self.is_cut = True
            return ""
        return sys.intern(value)  # many PCs say the same

    def has_room(self, letters: int) -> bool:
        """Whether the report may bring along so much more text; it is counted then."""
        if letters > self._text:
            return False
        self._text -= letters
        return True

    def name(self, value: Any) -> str:
        """A short text."""
        return self.text(value, _NAME)

    def lines(self, value: Any, most: int) -> str:
        """The last lines of a text, `most` at most, with newlines between them."""
        if not value or value.__class__ is not str:
            return self.text(value)
        if value.isprintable():
            return self.text(value)
        return "\n".join(map(self.text, value[-most * WORDS :].split("\n")[-most:]))

    def entries(self, value: Any, most: int) -> list[Any]:
        """A list, or its beginning."""
        if value.__class__ is not list:
            self.is_odd = self.is_odd or value is not None
            return []
        most = min(most, self._items)
        self.is_cut = self.is_cut or len(value) > most
        self._items -= min(len(value), most)
        return value if len(value) <= most else value[:most]

    def objects(self, value: Any, most: int) -> list[dict[str, Any]]:
        """The objects in a list."""
        found = self.entries(value, most)
        good = [each for each in found if each.__class__ is dict]
        self.is_odd = self.is_odd or len(good) < len(found)
        return good

    def object(self, value: Any) -> dict[str, Any]:
        """An object."""
        if value.__class__ is dict:
            return value
        self.is_odd = self.is_odd or value is not None
        return {}

    def texts(self, value: Any, most: int) -> tuple[str, ...]:
        """The texts in a list."""
        return tuple(map(self.text, self.entries(value, most)))

    def number(self, value: Any) -> float:
        """A number, 0 where it is none."""
        kind = value.__class__
        if kind is not float and kind is not int:
            self.is_odd = self.is_odd or value is not None
            return 0
        if not -_LARGEST < value < _LARGEST or math.isnan(value):
            self.is_odd = True
            return 0
        return value  # type: ignore[no-any-return]

    def count(self, value: Any) -> int:
        """A whole number that is not negative."""
        return max(0, int(self.number(value)))

    def time(self, value: Any) -> float:
        """Seconds since the epoch, from the PC's clock to the server's; 0: there is none."""
        if not value:
            return 0.0
        if value.__class__ is float and 0 < value - self.skew <= self.arrived:
            return value - self.skew
        number = self.number(value)
        return min(max(0.0, number - self.skew), self.arrived) if number > 0 else 0.0
