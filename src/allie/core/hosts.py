"""Host patterns, as tags and the classes file write them: `pc07`, `pc*`, `pc[01-20,35]`.

A pattern is compared without regard to case. Brackets that hold digits with a `-` or `,` are a
range of numbers, as in ClusterShell: `pc[01-20]` keeps its leading zero (`pc07`, not `pc7`).
Anything else is a glob in which `*` and `?` never match a `/`. A `*` takes all that it can, so
before a range it leaves one digit: `pc*[10-20]` fits nothing.

What a match costs depends on the lengths of pattern and name, and not on how many hosts are meant.
"""

from __future__ import annotations

from _collections_abc import Iterable

from allie.core import globs
from allie.core.lean import kept, re
from allie.core.value import Value

_SET = r"\[([^]]+)\]"
_ADDRESS = r"[0-9]+(\.[0-9]+){3}"
_LONGEST = 255  # of a host's name: DNS has 253, the kernel 64


class _Span(Value):
    first: tuple[int, str]  # as _size has it
    last: tuple[int, str]
    width: int  # 0: no leading zeros allowed


class _HostPattern(Value):
    glob: globs.Pattern
    ranges: tuple[tuple[_Span, ...], ...]


def is_exact(pattern: str) -> bool:
    """True if the pattern names one host and no more."""
    return not any(sign in pattern for sign in "*?[")


def is_name(name: str) -> bool:
    """Whether a host can have this name in a store: nothing that a path or a shell reads otherwise.

    In small letters; no address, which tells no host for long.
    """
    bare = name.replace(".", "").replace("-", "")  # no pattern: a fleet's views ask it 30,000 times
    if not (bare.isalnum() and bare.isascii() and bare == bare.lower() and len(name) <= _LONGEST):
        return False
    fits = ".." not in name and name[0] not in ".-" and name[-1] not in ".-"
    return fits and not (bare.isdigit() and is_address(name))


def names_of(host: str) -> tuple[str, str]:
    """The names of a host that patterns are compared with: its own, and the short one of that."""
    return host, host.partition(".")[0]


def is_address(name: str) -> bool:
    """Whether it is an address of IPv4."""
    return bool(re.fullmatch(_ADDRESS, name))


def named(pattern: str, most: int) -> list[str]:
    """The hosts that ranges name, in order; none where it is no list of them, or of more than most.

    >>> named("pc[08-10]-[1,3]", 6)
    ['pc08-1', 'pc08-3', 'pc09-1', 'pc09-3', 'pc10-1', 'pc10-3']
    """
    pieces = _pieces(pattern)
    found = [pieces[0]]
    for text, after in zip(pieces[1::2], pieces[2::2]):
        numbers = _numbers(text, most)
        if not numbers or len(found) * len(numbers) > most:
            return []
        found = [f"{before}{number}{after}" for before in found for number in numbers]
    return found if all(map(is_exact, pieces[::2])) else []


def _numbers(text: str, most: int) -> list[str]:
    """The numbers of a range, as written; none where they are more than most, or huge."""
    found = []
    for span in _spans(text):
        if max(span.first[0], span.last[0]) > len(str(most)) + 8:
            return []
        first, last = int(span.first[1]), int(span.last[1])
        if last - first >= most:
            return []
        found += [str(number).zfill(span.width) for number in range(first, last + 1)]
    return found


def matches(pattern: str, names: Iterable[str]) -> bool:
    """Whether any of a host's names (short and fully qualified) fits the pattern."""
    pattern = pattern.lower()
    lower = [name.lower() for name in names if 0 < len(name) <= _LONGEST]
    if is_exact(pattern):
        return pattern in lower
    compiled = _compiled(pattern)
    return any(_fits(compiled, name) for name in lower)


def full_name(short: str, table: str) -> str:
    """The dotted name that a hosts(5) has for a host; "" if there is none. Case does not count.

    >>> full_name("PC07", "127.0.1.1 pc07.example.org pc07")
    'pc07.example.org'
    """
    for line in table.splitlines():
        for name in line.partition("#")[0].split()[1:]:
            name = name.rstrip(".")
            lower = name.lower()
            if lower.startswith(f"{short.lower()}.") and not lower.endswith(".localdomain"):
                return name
    return ""


def flaw(pattern: str) -> str:
    """Why a pattern fits no host, or hardly one that was meant; "" if nothing speaks against it."""
    if re.match("[.-]", pattern) or pattern.endswith("."):
        return "no host's name begins or ends so; the hosts of a domain are *.example.org"
    if re.match(r"([0-9]+\.){2}[0-9*?[]", pattern):
        return "hosts are known by their names, not by their addresses"
    pieces = _pieces(pattern)
    for piece in pieces[::2]:
        words = _flaw_of_glob(piece)
        if words:
            return words
    if is_exact(pattern):
        return "" if len(pattern) <= _LONGEST else "no host's name is so long"
    for before, text in zip(pieces[::2], pieces[1::2]):
        if any(span.first > span.last for span in _spans(text)):
            return f"[{text[:40]}] runs backwards: no number is in it"
        if before.endswith("*"):
            return f"the * before [{text[:40]}] leaves it one digit"
    return "" if len(_compiled(pattern.lower()).glob) <= _LONGEST else "no host's name is so long"


def _flaw_of_glob(piece: str) -> str:
    """What is wrong with a piece of a pattern in which no range of numbers is left."""
    for body in re.findall(_SET, piece):
        if re.search(r"[0-9]{2}|[0-9]-$|^-[0-9]|\.\.|[^\w.!-]", body):
            return f"[{body[:40]}] is no range of numbers, and so stands for one letter"
        if not globs.is_possible(f"[{body}]"):
            return f"[{body[:40]}] runs backwards: no letter is in it"
    for letter in re.sub(_SET, "", piece):
        if letter in "[]":
            return f"the {letter} has no partner"
        if letter.isascii() and not re.match(r"[\w.*?-]", letter):
            return f"no host's name has {letter!r} in it; several hosts are separated by spaces"
    return ""


def _fits(pattern: _HostPattern, name: str) -> bool:
    if not pattern.ranges:
        return pattern.glob.matches(name)
    found = pattern.glob.numbers(name)
    return found is not None and all(
        any(_in_span(digits, span) for span in spans)
        for digits, spans in zip(found, pattern.ranges)
    )


def _in_span(digits: str, span: _Span) -> bool:
    size = _size(digits)
    return span.first <= size <= span.last and digits == size[1].zfill(span.width)


def _size(digits: str) -> tuple[int, str]:
    """A number to compare by, of any length: int() is quadratic, and refuses 5,000 digits."""
    plain = digits.lstrip("0") or "0"
    return len(plain), plain


@kept(maxsize=4096)
def _compiled(pattern: str) -> _HostPattern:
    pieces = _pieces(pattern)
    signs = globs.signs(pieces[0])
    for piece in pieces[2::2]:
        signs += [globs.NUMBER, *globs.signs(piece)]
    ranges = tuple(_spans(text) for text in pieces[1::2])
    return _HostPattern(globs.Pattern(signs, slash=False), ranges)


def _pieces(pattern: str) -> list[str]:
    """A pattern's glob, what is in its first range of numbers, the next glob, and so on."""
    found, begin, after, end = [], 0, 0, pattern.find("]")
    while end >= 0:
        at = pattern.rfind("[", after, end)
        if at >= 0 and _is_range(pattern[at + 1 : end]):
            found += [pattern[begin:at], pattern[at + 1 : end]]
            begin = end + 1
        after = end + 1
        end = pattern.find("]", after)
    return [*found, pattern[begin:]]


def _is_range(body: str) -> bool:
    """Whether a set's body is numbers, with a `-` or a `,` between them."""
    numbers = body.replace("-", ",").split(",")
    each_is_one = all(each.isascii() and each.isdigit() for each in numbers)
    return each_is_one and len(numbers) > 1 and all(each.count("-") < 2 for each in body.split(","))


def _spans(text: str) -> tuple[_Span, ...]:
    spans = []
    for item in text.split(","):
        first, _, last = item.partition("-")
        width = len(first) if first.startswith("0") else 0
        spans.append(_Span(_size(first), _size(last or first), width if width > 1 else 0))
    return tuple(spans)
