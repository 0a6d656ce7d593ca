"""Names of hosts, folded as cluster tools fold them: pc[01-38,40].

What is folded here ClusterShell reads, of any version, and so does `core.hosts`. So the numbers in
one pair of brackets are padded alike, and a range runs between numbers of equal length where they
are padded: pc[01-99,100], never pc[01-100].
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import chain

from allie.core.value import Value

_NUMBER = re.compile("([0-9]+)")


class _Numbers(Value):
    """The numbers in one pair of brackets, as they are written."""

    width: int  # that of those with leading zeros; 0: none has any
    written: tuple[str, ...]  # sorted by number


_Name = tuple[str, ...]  # text, number, text, number, …, text
_Folded = tuple["str | _Numbers", ...]


def fold(names: Iterable[str]) -> str:
    """One host set of all names, which ClusterShell reads as the same hosts; "" of none.

    >>> fold(["pc02", "pc01", "srv", "pc03"])
    'pc[01-03],srv'
    """
    alike: dict[_Name, set[_Name]] = defaultdict(set)
    for name in names:
        pieces = tuple(_NUMBER.split(name))
        alike[pieces[::2]].add(pieces)
    sets = (each for form in sorted(alike) for each in _fold_alike(alike[form], len(form) - 1))
    return ",".join(map(_written, sets))


def divided(host_set: str) -> list[str]:
    """The patterns of a host set: commas inside brackets divide nothing.

    >>> divided("pc[01-03,07],srv")
    ['pc[01-03,07]', 'srv']
    """
    found, inside = [""], False
    for letter in host_set:
        inside = letter == "[" or (inside and letter != "]")
        if letter == "," and not inside:
            found.append("")
        else:
            found[-1] += letter
    return [each.strip() for each in found if each.strip()]


def _fold_alike(names: set[_Name], numbers: int) -> list[_Folded]:
    """Names that differ in their numbers alone, as few sets: the last number is folded first."""
    sets: list[_Folded] = [*sorted(names, key=_order)]
    for at in range(2 * numbers - 1, 0, -2):
        equal: dict[_Folded, list[str]] = defaultdict(list)
        for each in sets:
            rest = (*each[:at], "", *each[at + 1 :])
            equal[rest].append(str(each[at]))
        sets = [
            (*key[:at], found, *key[at + 1 :])
            for key, written in equal.items()
            for found in _in_brackets(written)
        ]
    return sorted(sets, key=_order)


def _order(folded: _Folded) -> list[tuple[int, str]]:
    """To sort what differs in its numbers alone, by these as such: pc9 comes before pc10."""
    numbers = folded[1::2]
    firsts = [piece if isinstance(piece, str) else piece.written[0] for piece in numbers]
    return [(int(first), first) for first in firsts]


def _in_brackets(written: Iterable[str]) -> list[_Numbers]:
    """Numbers, divided into those that may stand in one pair of brackets."""
    by_length: dict[int, list[str]] = defaultdict(list)
    for each in written:
        by_length[len(each)].append(each)
    padded = {length for length, all_of_it in by_length.items() if _any_padded(all_of_it)}
    plain = [length for length in by_length if length not in padded]
    if len(padded) == 1 and all(length > max(padded) for length in plain):
        return [_numbers(max(padded), by_length)]  # 01, 02, … 99, 100
    found = [_numbers(length, {length: by_length[length]}) for length in sorted(padded)]
    return found + ([_numbers(0, {each: by_length[each] for each in plain})] if plain else [])


def _any_padded(written: Iterable[str]) -> bool:
    return any(len(each) > 1 and each.startswith("0") for each in written)


def _numbers(width: int, by_length: Mapping[int, list[str]]) -> _Numbers:
    return _Numbers(width, tuple(sorted(chain(*by_length.values()), key=int)))


def _written(folded: _Folded) -> str:
    return "".join(_ranges(piece) if isinstance(piece, _Numbers) else piece for piece in folded)


def _ranges(numbers: _Numbers) -> str:
    """Numbers as ranges: `[01-03,07]`; one alone stands without brackets."""
    spans: list[list[str]] = []
    for each in numbers.written:
        last = spans[-1][-1] if spans else ""
        follows = last and int(each) == int(last) + 1
        if follows and (not numbers.width or len(each) == len(last)):
            spans[-1] = [spans[-1][0], each]
        else:
            spans.append([each])
    text = ",".join("-".join(span) for span in spans)
    return text if len(numbers.written) == 1 else f"[{text}]"
