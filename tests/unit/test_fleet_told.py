"""What a report says, whatever it says: bounded, printable, and on the server's clock."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allie.server.fleet import told
from allie.server.fleet.told import Told

NOW = 1_800_000_000.0
SCRIPT = {"name": "50x", "state": "failing", "code": 1, "since": NOW - 60, "last": "a\nb"}
SYSTEM = {"system": "debian12", "began": NOW - 10, "scripts": [SCRIPT]}
REPORT = {"format": 1, "sent": NOW, "machine": {"host": "pc07"}, "systems": [SYSTEM]}


def read(value: Any) -> Told:
    return told.read("pc07", NOW, json.dumps(value).encode())


def test_an_ordinary_one() -> None:
    found = read(REPORT)
    assert (found.flaw, found.notes, found.name) == ("", (), "pc07")
    assert found.systems[0].scripts == (told.ToldScript("50x", "failing", "", NOW - 60, 1, "a\nb"),)


FLAWS = [
    (b"", "no JSON"),
    (b"\xff", "no JSON"),
    (b"{}", "tells of no system"),
    (b"[]", "tells of no system"),
    (b'{"systems": [3, {"system": 4}]}', "tells of no system"),
    (b"[" * 200_000, "nested too deep"),
    (b'{"systems": ' * 100_000, "nested too deep"),
]


@pytest.mark.parametrize(("text", "flaw"), FLAWS)
def test_what_is_no_report(text: bytes, flaw: str) -> None:
    found = told.read("pc07", NOW, text)
    assert flaw in found.flaw
    assert found == Told("pc07", NOW, found.flaw)


NOTES = [
    ({"format": 9}, "its ALLiE is newer"),
    ({"sent": NOW + 73.2 * 365.25 * 86400}, "its clock is 73 years ahead"),
    ({"sent": 5.0}, "its clock is 57 years behind"),
    ({"machine": {"host": "pc08"}}, "it calls itself pc08"),
    ({"systems": [SYSTEM] * 1000}, "too long"),
    ({"machine": 7}, "not of the documented form"),
]


@pytest.mark.parametrize(("change", "note"), NOTES)
def test_what_is_odd_is_noted(change: dict[str, Any], note: str) -> None:
    assert note in " ".join(read({**REPORT, **change}).notes)


def test_a_wrong_clock_changes_no_time() -> None:
    ahead = 73 * 365 * 86400.0
    script = {**SCRIPT, "since": NOW - 60 + ahead}
    moved = {**SYSTEM, "began": NOW - 10 + ahead, "scripts": [script]}
    with_sent = read({**REPORT, "sent": NOW + ahead, "systems": [moved]})
    assert with_sent.systems == read(REPORT).systems
    without = read({**REPORT, "sent": None, "systems": [moved]}).systems[0]
    assert (without.ticked, without.scripts[0].since) == (NOW, NOW - 50)


HUGE = [b"1e999", b"-1e999", b"NaN", b"Infinity", b"9" * 5000, b"-" + b"9" * 200_000, b"[]", b'"7"']


@pytest.mark.parametrize("number", HUGE)
def test_numbers_that_are_none(number: bytes) -> None:
    text = json.dumps(REPORT).encode().replace(str(NOW - 10).encode(), number)
    found = told.read("pc07", NOW, text.replace(str(NOW).encode(), number))
    assert found.systems[0].ticked == 0
    assert found.skew == 0


FIELDS = st.sampled_from(
    "format sent machine systems host system scripts name state since code last problems path"
    " message notes changed did counts drift contact own_door good server next_tick"
    " facts distro version arch virt".split()
) | st.text(max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=20,
)


@given(JSON, JSON, JSON)
def test_whatever_comes_is_read(whole: Any, system: Any, script: Any) -> None:
    for value in (
        whole,
        {"systems": [system, system]},
        {"systems": [{"system": "a", "scripts": [script], "changed": script, "notes": whole}]},
        {**REPORT, "machine": script},
    ):
        check(told.read("pc07", NOW, json.dumps(value).encode()))


def test_facts_are_bounded_and_an_older_report_has_none() -> None:
    sent = {"distro": ["debian", "\x1b[31m", 7, *"abcdefg"], "version": "1" * 5000, "arch": ["x"]}
    facts = read({**REPORT, "systems": [{**SYSTEM, "facts": sent}]}).systems[0].facts
    assert (facts.distro[0], len(facts.distro), facts.arch, facts.virt) == ("debian", 8, "", "")
    assert len(facts.version) <= 120 and "\x1b" not in facts.distro[1]
    assert read(REPORT).systems[0].facts == told.ToldFacts()
    assert read({**REPORT, "systems": [{**SYSTEM, "facts": 7}]}).systems[0].facts.distro == ()


@given(st.binary(max_size=40))
def test_whatever_bytes_come_are_read(text: bytes) -> None:
    check(told.read("pc07", NOW, text))


def check(found: Any) -> None:
    """All that is in it is fit to be shown."""
    if isinstance(found, str):
        assert all(line.isprintable() for line in found.split("\n"))
        assert len(found) < 4000
    elif isinstance(found, dict):
        check([*found, *found.values()])
    elif isinstance(found, (tuple, list)):
        for each in found:
            check(each)
    elif isinstance(found, (int, float)):
        assert abs(found) < 1 << 62
