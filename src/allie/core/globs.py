"""Patterns of names, matched in a time that only the lengths of pattern and name decide.

A regular expression tries one way after another, and `*a*a*a*b` has so many that one line of an
overlay could stop every tick. Here all ways are followed at once. A pattern of n signs has n + 1
places; the bits of one number say which of them can be reached after each letter of the name, and
one shift takes all of them on.

Used by `core.hosts` (tags, classes) and by `core.script` (`on-change`).
"""

from __future__ import annotations

from allie.core.lean import kept
from allie.core.value import Value

_ANY = "*"
_NUMBER = "#"


class Sign(Value):
    """One sign of a pattern."""

    kind: str  # "" one letter, "*" any letters, "#" one digit or more
    letters: tuple[tuple[str, str], ...] = ()  # from, to; of kind ""
    negated: bool = False  # any letter but these


NUMBER = Sign(_NUMBER)


class Pattern:
    """A compiled pattern. slash: whether `*`, `?` and a negated set take in a slash."""

    def __init__(self, signs: list[Sign], *, slash: bool) -> None:
        self._slash = slash
        self._steps: list[Sign] = []  # what leads from each place to the next
        self._loops: dict[int, bool] = {}  # places at which letters may pass: any, or digits alone
        self._numbers: dict[int, int] = {}  # place after a number's first digit: which number
        for sign in signs:
            if sign.kind == _ANY:
                self._loops[len(self._steps)] = True
                continue
            self._steps.append(sign)
            if sign.kind == _NUMBER:
                self._numbers[len(self._steps)] = len(self._numbers)
                self._loops[len(self._steps)] = False
        self._masks: dict[str, tuple[int, int]] = {}

    def __len__(self) -> int:
        """How long a name must be at least."""
        return len(self._steps)

    def matches(self, name: str) -> bool:
        """Whether the whole of a name fits."""
        if len(self._steps) > len(name):  # each step takes one letter
            return False
        reached = 1
        for letter in name:
            step, loop = self._mask(letter)
            reached = (reached & step) << 1 | reached & loop
            if not reached:
                return False
        return bool(reached >> len(self._steps) & 1)

    def numbers(self, name: str) -> list[str] | None:
        """What stands at each number of a name that fits; None if it does not fit.

        Where there are several ways, an earlier sign takes all that it can.
        """
        if len(self._steps) > len(name):
            return None
        leads = self._backwards(name)
        if not leads[0] & 1:
            return None
        found = [""] * len(self._numbers)
        place = 0
        number = -1  # whose digits we are in
        for at, letter in enumerate(name):
            loop = self._mask(letter)[1]
            stays = bool(loop >> place & leads[at + 1] >> place & 1)
            if not stays:
                place += 1
                number = self._numbers.get(place, -1)
            elif letter not in "0123456789":
                number = -1
            if number >= 0:
                found[number] += letter
        return found

    def _backwards(self, name: str) -> list[int]:
        """By position in the name: the places from which the rest of it leads to the end."""
        reached = 1 << len(self._steps)
        leads = [reached]
        for letter in reversed(name):
            step, loop = self._mask(letter)
            reached = reached >> 1 & step | reached & loop
            leads.append(reached)
        return leads[::-1]

    def _mask(self, letter: str) -> tuple[int, int]:
        """The places that a letter leads on from, and those at which it may pass."""
        known = self._masks.get(letter)
        if known is None:
            free = self._slash or letter != "/"
            digit = "0" <= letter <= "9"
            passing = {True: free, False: digit, None: False}
            step = _bits([_fits(sign, letter, free) for sign in self._steps])
            loop = _bits([passing[self._loops.get(at)] for at in range(len(self._steps) + 1)])
            known = self._masks[letter] = step, loop
        return known


def _bits(flags: list[bool]) -> int:
    """One bit a flag, the first one lowest."""
    return int("".join(["01"[flag] for flag in reversed(flags)]) or "0", 2)


def _fits(sign: Sign, letter: str, free: bool) -> bool:
    if sign.kind == _NUMBER:
        return "0" <= letter <= "9"
    within = any(first <= letter <= last for first, last in sign.letters)
    return free and not within if sign.negated else within


@kept(maxsize=1024)
def of_name(text: str) -> Pattern:
    """A glob of a name: `*` and `?` take in no slash. `[]` stands for itself."""
    return Pattern(signs(text), slash=False)


@kept(maxsize=1024)
def of_path(text: str) -> Pattern:
    """A glob of a path, as Python's fnmatch has it: `*` takes in slashes, `[]a]` is `]` or `a`."""
    return Pattern(signs(text, bracket_first=True), slash=True)


def is_word(text: str) -> bool:
    """Whether it is letters and digits, with `.`, `_` and `-` after the first of them."""
    rest = text.replace(".", "").replace("_", "").replace("-", "")
    return text.isascii() and text[:1].isalnum() and rest.isalnum()


def is_possible(text: str) -> bool:
    """Whether a glob of a path can match anything: a set as `[z-a]` has no letter in it."""
    return all(
        sign.negated or any(first <= last for first, last in sign.letters)
        for sign in signs(text, bracket_first=True)
        if not sign.kind
    )


def signs(text: str, *, bracket_first: bool = False) -> list[Sign]:
    """The signs of a glob. bracket_first: a `]` at a set's beginning belongs to it."""
    found = []
    at = 0
    last = text.rfind("]")
    while at < len(text):
        sign = text[at]
        end = _end_of_set(text, at, bracket_first) if sign == "[" and at < last else 0
        if end:
            found.append(_set(text[at + 1 : end]))
            at = end
        elif sign == "*":
            found.append(Sign(_ANY))
        elif sign == "?":
            found.append(Sign("", (), negated=True))
        else:
            found.append(Sign("", ((sign, sign),)))
        at += 1
    return found


def _end_of_set(text: str, at: int, bracket_first: bool) -> int:
    """Where the set ends that begins at a `[`; 0 if that is a letter like others."""
    if bracket_first:
        negated = text.startswith("!", at + 1)
        return max(text.find("]", at + 2 + negated), 0)
    end = text.find("]", at + 1)
    return end if end > at + 1 else 0


def _set(body: str) -> Sign:
    """`a-c_` or `!a-c`; `z-a` has no letter in it."""
    negated = body.startswith("!")
    letters = []
    at = int(negated)
    while at < len(body):
        is_range = body.startswith("-", at + 1) and at + 2 < len(body)
        letters.append((body[at], body[at + 2 if is_range else at]))
        at += 3 if is_range else 1
    return Sign("", tuple(letters), negated)
