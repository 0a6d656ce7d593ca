"""Hand fixes: what may be offered, their form, and how the difference is shown.

docs/internals/rules.md, "A hand fix is offered by hand".
"""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allie.core.change import difference, hand_fix
from allie.core.change.hand_fix import HandFix
from allie.core.lean import dumps, loads

FIX = HandFix("etc/motd", "common", "etc/motd##class.lab", "ab" * 32, b"\0\xff new\n", "old", 7.0)


@pytest.mark.parametrize(
    ("overlay", "mode", "attributes", "word"),
    [
        ("common", 0o644, [], ""),
        ("lab", 0o600, ["system.posix_acl_access"], ""),
        ("private", 0o644, [], "private"),
        ("private/pc07", 0o644, [], "private"),
        ("kit", 0o644, [], "kit"),
        ("common", 0o4755, [], "setuid"),
        ("common", 0o2755, [], "setgid"),
        ("common", 0o755, ["security.capability"], "capabilities"),
    ],
)
def test_what_may_be_offered(overlay: str, mode: int, attributes: list[str], word: str) -> None:
    why, hint = hand_fix.refusal(overlay, mode, attributes)
    assert (word in why) if word else not why + hint


def test_it_is_read_as_it_was_written() -> None:
    assert hand_fix.from_json(loads(dumps(hand_fix.to_json(FIX)))) == FIX


@pytest.mark.parametrize(
    "value", [None, [], {}, {"content": 7}, {"content": "é"}, {"content": "="}]
)
def test_what_is_no_hand_fix(value: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        hand_fix.from_json(value)


TEXTS = st.lists(st.sampled_from(["a", "b", "c", "", "\x1b[2J", "\\ No newline"]), max_size=24).map(
    lambda lines: "\n".join(lines).encode()
)


def applied(old: bytes, shown: list[str]) -> bytes:
    """The new file, made of the old one and a difference, as patch(1) does it."""
    before = old.decode(errors="surrogateescape").split("\n")
    before = [f"{each}\n" for each in before[:-1]] + [before[-1]] * bool(before[-1])
    out: list[str] = []
    at, kind = 0, " "
    for each in shown[2:]:
        head = re.fullmatch(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@", each)
        if head:
            start = int(head[1]) - (head[2] != "0")
            out += before[at:start]
            at = start
            assert len(out) == int(head[3]) - (head[4] != "0"), each
        elif each == "\\ No newline at end of file":
            if kind in " +":
                out[-1] = out[-1][:-1]
        else:
            kind = each[0]
            if kind in " -":
                assert before[at].rstrip("\n") == each[1:], each
                at += 1
            if kind in " +":
                out.append(f"{each[1:]}\n")
    return "".join([*out, *before[at:]]).encode(errors="surrogateescape")


@given(TEXTS, TEXTS)
def test_a_difference_makes_the_new_file_of_the_old_one(old: bytes, new: bytes) -> None:
    shown = difference.lines(old, new, ("old", "new"))
    assert bool(shown) == (old != new)
    assert applied(old, shown) == new


def test_so_does_one_in_the_middle_of_much() -> None:
    old = b"".join(b"%d\n" % n for n in range(5000))
    new = old.replace(b"\n2500\n", b"\ntwo\nlines\n")
    shown = difference.lines(old, new, ("old", "new"))
    assert shown[2] == "@@ -2498,7 +2498,8 @@"
    assert applied(old, shown) == new
    assert len(shown) == 12


def test_one_that_is_made_to_take_long_does_not() -> None:
    """Lines that are there many times, in another order, take difflib minutes."""
    old = "".join(f"{n * 7919 % 300}\n" for n in range(16_000)).encode()
    new = "".join(f"{n * 104729 % 300}\n" for n in range(16_000)).encode()
    began = time.process_time()
    shown = difference.lines(old, new, ("old", "new"))
    large = time.process_time() - began
    assert applied(old, shown) == new
    began = time.process_time()
    [old.split(b"\n") for _ in range(1000)]
    assert large < time.process_time() - began


def test_bytes_that_are_no_text_are_not_shown() -> None:
    shown = difference.lines(b"a\0b", b"a\0c", ("old", "new"))
    assert [each[:27] for each in shown[2:]] == [
        "-3 bytes that are no text, ",
        "+3 bytes that are no text, ",
    ]
