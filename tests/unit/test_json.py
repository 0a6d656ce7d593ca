"""`--json`: UTF-8 and JSON as every reader takes it, whatever names and numbers there are."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allie.cli import options
from allie.core.change.report import Contact

_NAMES = st.text(st.characters(min_codepoint=0, max_codepoint=0x10FFFF, categories=None))
_VALUES = st.recursive(
    st.one_of(_NAMES, st.floats(), st.integers(), st.booleans(), st.none()),
    lambda inner: st.one_of(
        st.lists(inner), st.dictionaries(_NAMES, inner), st.tuples(inner, inner)
    ),
    max_leaves=8,
)


def _refuse(word: str) -> None:
    raise AssertionError(f"{word} is no JSON")


def _said(value: Any, capsys: pytest.CaptureFixture[str]) -> Any:
    capsys.readouterr()
    options.say_json(value)
    out = capsys.readouterr().out
    assert out.isascii()
    assert all(each.isprintable() or each == "\n" for each in out)
    read = json.loads(out, parse_constant=_refuse)
    json.dumps(read, ensure_ascii=False).encode()  # no lone surrogate: other readers refuse it
    return read


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("etc/motd", "etc/motd"),
        ("Größe \N{GRINNING FACE}", "Größe \N{GRINNING FACE}"),
        (os.fsdecode(b"not \xff utf-8"), "not \\xff utf-8"),
        ("\ud800 and \udfff", "\\ud800 and \\udfff"),
        ("a\nb\t\0\x1b[2J\x7f\x85\u202e", "a\nb\t\0\x1b[2J\x7f\x85\u202e"),
        ({os.fsdecode(b"\xff"): float("nan")}, {"\\xff": None}),
        ([float("inf"), -float("inf"), 0.5], [None, None, 0.5]),
        (Contact("a\udcff")._asdict()["server"], "a\\xff"),
        ((("\x7f",),), [["\x7f"]]),
    ],
)
def test_what_is_said_is_what_is_read(
    value: object, read: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _said(value, capsys) == read


def test_anything_can_be_said(capsys: pytest.CaptureFixture[str]) -> None:
    @given(_VALUES)
    def any_value(value: object) -> None:
        _said(value, capsys)

    any_value()
