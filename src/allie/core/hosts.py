"""Host patterns, as tags and the classes file write them: `pc07`, `pc*`, `pc[01-20,35]`.

A pattern is compared without regard to case. Brackets that hold digits with a `-` or `,` are a
range of numbers, as in ClusterShell: `pc[01-20]` keeps its leading zero (`pc07`, not `pc7`).
Anything else is a glob over ASCII in which `*` and `?` never match a `/`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from allie.core.value import Value

_RANGE = r"\[(?![0-9]*\])([0-9]+(?:-[0-9]+)?(?:,[0-9]+(?:-[0-9]+)?)*)\]"
_GLOB = r"\*|\?|\[!?[^\]]+\]"
_MEMBER = r"(?s)(.)(?!-.)|(.)-(.)"


class _Span(Value):
    first: int
    last: int
    width: int  # 0: no leading zeros allowed


class _Pattern(Value):
    regex: re.Pattern[str]
    ranges: tuple[tuple[_Span, ...], ...]


def is_exact(pattern: str) -> bool:
    """True if the pattern names one host and no more."""
    return not any(sign in pattern for sign in "*?[")


def matches(pattern: str, names: Iterable[str]) -> bool:
    """Whether any of a host's names (short and fully qualified) fits the pattern."""
    compiled = _compiled(pattern.lower())
    return any(_fits(compiled, name.lower()) for name in names if name)


def _fits(pattern: _Pattern, name: str) -> bool:
    found = pattern.regex.fullmatch(name)
    if not found:
        return False
    return all(
        any(_in_span(digits, span) for span in spans)
        for digits, spans in zip(found.groups(), pattern.ranges)
    )


def _in_span(digits: str, span: _Span) -> bool:
    number = int(digits)
    return span.first <= number <= span.last and digits == str(number).zfill(span.width)


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> _Pattern:
    ranges = tuple(_spans(text) for text in re.findall(_RANGE, pattern))
    pieces = re.split(_RANGE, pattern)
    literals = [_glob_to_regex(piece) for piece in pieces[::2]]
    return _Pattern(re.compile("([0-9]+)".join(literals), re.ASCII), ranges)


def _spans(text: str) -> tuple[_Span, ...]:
    spans = []
    for item in text.split(","):
        first, _, last = item.partition("-")
        width = len(first) if first.startswith("0") and len(first) > 1 else 0
        spans.append(_Span(int(first), int(last or first), width))
    return tuple(spans)


@lru_cache(maxsize=1024)
def glob(pattern: str) -> re.Pattern[str]:
    """A glob as a regular expression for the whole of a name; case matters.

    Not fnmatch: its `*` takes in a `/`, and before Python 3.11 `[z-a]` raises.
    """
    return re.compile(_glob_to_regex(pattern), re.DOTALL)


def _glob_to_regex(text: str) -> str:
    out = []
    at = 0
    for found in re.finditer(_GLOB, text):
        out.append(re.escape(text[at : found.start()]))
        sign = found.group()
        if sign == "*":
            out.append("[^/]*")
        elif sign == "?":
            out.append("[^/]")
        else:
            out.append(_set_to_regex(sign[1:-1]))
        at = found.end()
    out.append(re.escape(text[at:]))
    return "".join(out)


def _set_to_regex(body: str) -> str:
    """`a-c_` or `!a-c`, with nothing that only a regular expression knows; `z-a` fits no sign."""
    negated = body.startswith("!")
    out = []
    for single, first, last in re.findall(_MEMBER, body[negated:]):
        if single:
            out.append(re.escape(single))
        elif first <= last:
            out.append(f"{re.escape(first)}-{re.escape(last)}")
    if negated:
        return f"[^/{''.join(out)}]"
    return f"[{''.join(out)}]" if out else "(?!)"
