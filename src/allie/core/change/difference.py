"""The difference of two small files, for a person to read: unified, or in two sizes. Pure.

What is compared may be an attacker's, made to take long: where more lines differ than a person
reads, all old ones are followed by all new ones.
"""

from __future__ import annotations

import difflib

from allie.core import digest

_MOST = 500  # lines on a side that are matched with one another
_AROUND = 3  # lines shown around a difference
_NO_END = "\\ No newline at end of file"


def lines(old: bytes, new: bytes, names: tuple[str, str]) -> list[str]:
    """The lines of a unified difference, [] where there is none; bytes that are no UTF-8 are kept.

    names: of the old file and the new one. They are not fit for a terminal (`console.say` is).
    """
    if old == new:
        return []
    head = [f"--- {names[0]}", f"+++ {names[1]}"]
    if b"\0" in old + new:
        return [*head, f"-{_no_text(old)}", f"+{_no_text(new)}"]
    before, after = _lines_of(old), _lines_of(new)
    same = _common(before, after)
    ends = _common(before[same:][::-1], after[same:][::-1])
    middle = before[same : len(before) - ends], after[same : len(after) - ends]
    if max(map(len, middle)) > _MOST:
        number = f"@@ -{same + 1},{len(middle[0])} +{same + 1},{len(middle[1])} @@"
        found = [number, *(f"-{each}" for each in middle[0]), *(f"+{each}" for each in middle[1])]
    else:
        start, stop = max(0, same - _AROUND), ends - _AROUND
        mine, its = (side[start : len(side) - max(0, stop)] for side in (before, after))
        found = [*difflib.unified_diff(mine, its, n=_AROUND, lineterm="")][2:]
        found = [_moved(each, start) if each.startswith("@@") else each for each in found]
    return [*head, *(piece for each in found for piece in each.split("\n", 1) if piece)]


def _lines_of(content: bytes) -> list[str]:
    r"""The lines as text; of one without an end it is said, in a line that belongs to it."""
    *found, last = content.decode(errors="surrogateescape").split("\n")
    return [*found, f"{last}\n{_NO_END}"] if last else found


def _common(one: list[str], other: list[str]) -> int:
    """How many lines both begin with."""
    count = 0
    for mine, its in zip(one, other):
        if mine != its:
            break
        count += 1
    return count


def _moved(head: str, by: int) -> str:
    """The head of a hunk, `@@ -1,4 +1,5 @@`, with its numbers so much further down."""
    spans = []
    for span in head.split()[1:3]:
        sign, (first, *rest) = span[0], span[1:].split(",")
        spans.append(f"{sign}{','.join([str(int(first) + by), *rest])}")
    return f"@@ {' '.join(spans)} @@"


def _no_text(content: bytes) -> str:
    return f"{len(content)} bytes that are no text, sha256 {digest.of(content)}"
