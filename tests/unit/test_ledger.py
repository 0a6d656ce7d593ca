"""The ledger as text and back.

docs/internals/rules.md, "What vouches for a file".
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allie.core.change import ledger
from allie.core.change.ledger import NOTHING, UNKNOWN, Ledger, Placed, Tombstone, decode, encode

# What a path may hold: anything, also bytes that are not UTF-8, but no lone half of a pair.
PATHS = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
        st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF),
    ),
    min_size=1,
    max_size=8,
)
DIGESTS = st.sampled_from(["f:" + "0" * 64, "l:../x", "d", NOTHING, "c:1,3", "p"])
LSTATS = st.sampled_from(["", "12 1700000000000000000 3 4 33188 0 0"])
PLACED = st.builds(
    Placed,
    overlay=st.sampled_from(["kit", "common"]),
    spelling=PATHS,
    part=st.sampled_from(ledger.PARTS),
    flag=st.sampled_from(["", "once", "absent"]),
    source=LSTATS,
    content=DIGESTS,
    attrs=st.sampled_from(["0644 0 0", "2755 1000 5 0123456789abcdef", ""]),
    seen=LSTATS,
    pristine=st.one_of(st.sampled_from([NOTHING, UNKNOWN]), PATHS),
)
LEDGERS = st.builds(
    Ledger,
    entries=st.dictionaries(PATHS, PLACED, max_size=4),
    tombstones=st.dictionaries(PATHS, st.builds(Tombstone, PLACED, st.floats(0, 2e9)), max_size=3),
    generations=st.dictionaries(st.sampled_from(ledger.PARTS), st.integers(1, 10**6)),
)


@given(LEDGERS)
def test_what_was_written_is_read_back_the_same(books: Ledger) -> None:
    text = encode(books)
    assert decode(text) == books
    assert text.encode(errors="surrogateescape").decode(errors="surrogateescape") == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "7",
        '"text"',
        "{}",
        '{"version":0}',
        '{"version":2}',
        '{"version":2,"entries":[],"tombstones":{},"generations":{}}\n\0',
        '{"version":2,"entries":null,"tombstones":{},"generations":{}}\n\0',
        '{"version":2,"entries":1,"tombstones":{},"generations":{}}\n\0a\0b\0',
        '{"version":2,"entries":0,"tombstones":{},"generations":{}}\n\0a\0b\0',
        '{"version":2,"entries":0,"tombstones":{"a":1},"generations":{}}\n\0',
        '{"version":2,"entries":0,"tombstones":{},"generations":[]}\n\0',
        '{"version":2,"entries":0,"tombstones":{},"generations":{"overlay":"x"}}\n\0',
    ],
)
def test_anything_else_is_a_damaged_ledger(text: str) -> None:
    with pytest.raises(ValueError):
        decode(text)


@given(LEDGERS, st.data())
def test_a_ledger_that_was_cut_short_is_damaged(books: Ledger, data: st.DataObject) -> None:
    text = encode(books)
    cut = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(ValueError):
        decode(text[:cut])


@given(
    st.recursive(
        st.one_of(st.none(), st.integers(), st.text(max_size=3)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
        ),
        max_leaves=6,
    ),
    st.sampled_from(["entries", "tombstones", "generations"]),
)
def test_a_strange_value_is_damaged_or_harmless(value: object, key: str) -> None:
    whole = {"version": 2, "entries": 0, "tombstones": {}, "generations": {}, key: value}
    try:
        found = decode(json.dumps(whole) + "\n\0")
    except ValueError:
        return
    assert isinstance(getattr(found, key), dict)


def test_a_ledger_that_is_being_rebuilt_says_so() -> None:
    assert ledger.empty() == Ledger({}, {}, {}, lost=False)
    assert ledger.empty(lost=True).lost


def test_the_fields_of_an_lstat() -> None:
    assert ledger.inode_of("12 99 3 4 33188 0 0") == 12
    assert ledger.inode_of("") == 0
    assert ledger.ctime_of("12 99 3 4 33188 0 0") == 99
    assert ledger.ctime_of("") == 0
    assert ledger.size_and_mtime("12 3 4 33188 0 0") == (3, 4)


@pytest.mark.parametrize(
    ("generations", "lost_for"),
    [
        ({}, ["overlay", "overact"]),
        ({"overlay": 3}, ["overact"]),
        ({"overlay": 3, "overact": 3}, []),
    ],
)
def test_a_lost_ledger_is_lost_for_a_part_until_that_part_has_gone_through_its_paths(
    generations: dict[str, int], lost_for: list[str]
) -> None:
    books = Ledger({}, {}, generations, lost=True)
    assert [part for part in ledger.PARTS if books.is_lost_for(part)] == lost_for
    again = decode(encode(books))
    assert [part for part in ledger.PARTS if again.is_lost_for(part)] == lost_for
