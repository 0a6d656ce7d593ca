"""Cleaning: what a report says, made fit to be kept and shown.

Whatever comes in, what goes out is text without control characters and of a bounded length, numbers
of a bounded size, and times on the server's clock that are not after the report's arrival. Lists of
one report are bounded one by one and together: beyond that they are cut, and that is noted. Pure.
"""

from __future__ import annotations

import base64
import json
import math
from sys import intern
from typing import Any

from allie.machine.console import printable

WORDS = 400  # letters of a text, at most
NAME = 120  # … of a name
_ITEMS = 1500  # entries of all lists of one report; its letters are bounded with its size
_LARGEST = 1 << 60  # of a number
_LATEST = float(_LARGEST)  # of a time
# How a number that is too long shows once each of its digits was made a zero
_LONG, _ZEROS = b"0" * 20, bytes.maketrans(b"123456789", b"0" * 9)


def decoded(text: bytes) -> Any:
    """What JSON says. Raises ValueError where it is none, RecursionError where it is too deep."""
    decoder = _WARY if _LONG in text.translate(_ZEROS) else _DECODER
    return decoder.decode(text.decode())


def _number(digits: str) -> int:
    """A whole number; of a hundred thousand digits it would take seconds."""
    return int(digits) if len(digits) < len(_LONG) else -1


_DECODER = json.JSONDecoder(parse_constant=lambda _: None)
_WARY = json.JSONDecoder(parse_int=_number, parse_constant=lambda _: None)  # a fifth slower


class Cleaner:
    """Takes one report apart. What it had to leave out shows in `is_cut` and `is_odd`."""

    def __init__(self, arrived: float) -> None:
        self.arrived = arrived
        self.skew = 0.0  # seconds that the PC's clock is ahead
        self.is_cut = self.is_odd = False
        self._items = _ITEMS

    def text(self, value: Any, most: int = WORDS) -> str:
        """One line of text."""
        if value.__class__ is str and len(value) <= most and value.isprintable():
            return intern(value)  # many PCs say the same
        if value.__class__ is not str:
            self.is_odd = self.is_odd or value is not None
            return ""
        self.is_cut = self.is_cut or len(value) > most
        return printable(value[:most])[:most]

    def name(self, value: Any) -> str:
        """A short text."""
        return self.text(value, NAME)

    def lines(self, value: Any, most: int) -> str:
        """The last lines of a text, `most` at most, with newlines between them."""
        if value.__class__ is not str or value.isprintable():
            return self.text(value)
        return "\n".join(map(self.text, value[-most * WORDS :].split("\n")[-most:]))

    def entries(self, value: Any, most: int) -> list[Any]:
        """A list, or its beginning."""
        if value.__class__ is not list:
            self.is_odd = self.is_odd or value is not None
            return []
        count = len(value)
        if count > most or count > self._items:
            self.is_cut = True
            count = min(most, self._items)
            value = value[:count]
        self._items -= count
        return value  # type: ignore[no-any-return]

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

    def keys(self, value: dict[str, Any], most: int) -> list[str]:
        """The names in an object, the first of them."""
        return self.entries([*value], most) if value else []

    def content(self, value: Any, most: int) -> bytes | None:
        """Bytes in base64 (RFC 4648); None where it is something else, or more than so many."""
        try:
            found = base64.b64decode(value, validate=True) if value.__class__ is str else None
        except ValueError:
            found = None
        if found is None or len(found) > most:
            self.is_odd = True
            return None
        return found

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
        if value.__class__ is int and 0 <= value < _LARGEST:
            return value
        return max(0, int(self.number(value)))

    def time(self, value: Any) -> float:
        """Seconds since the epoch, from the PC's clock to the server's; 0: there is none."""
        kind = value.__class__
        if (kind is float or kind is int) and 0.0 < value < _LATEST:
            moved: float = value - self.skew
            if 0.0 < moved <= self.arrived:
                return moved
            return self.arrived if moved > 0 else 0.0
        self.number(value)
        return 0.0

    def times(self, values: list[Any]) -> list[float]:
        """As `time` has each: all at once, where the first and the last are moved and no more."""
        if {*map(type, values)} == {float} and not math.isnan(sum(values)):
            first, last, skew = min(values), max(values), self.skew
            if first > 0.0 and first > skew and last < _LATEST and last - skew <= self.arrived:
                return [value - skew for value in values]
        return [self.time(value) for value in values]
