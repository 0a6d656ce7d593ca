"""What a report says, whatever it says: bounded, printable, and on the server's clock."""

from __future__ import annotations

import copy
import json
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allie.server.fleet import cleaning, told
from allie.server.fleet.cleaning import Cleaner
from allie.server.fleet.told import Told
from tests.worlds import fleets

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


# --- the quick way is the slow one ----------------------------------------------------------------

REAL = [json.loads(each.report) for each in fleets.generated(40, NOW) if each.report]
VALUES = (
    JSON
    | st.sampled_from([0, 1, 0.0, 1.0, True, False, "", "exit 0", -1000, 999, 10**18, 10**30])
    | st.floats(NOW - 1e8, NOW + 1e8)
)


@st.composite
def changed(draw: st.DrawFn) -> bytes:
    """A real report, with other values in some places, or with some of them left out."""
    value = copy.deepcopy(draw(st.sampled_from(REAL)))
    for _ in range(draw(st.integers(0, 4))):
        inside: Any = value
        while True:
            keys = [*inside] if isinstance(inside, dict) else [*range(len(inside))]
            key = draw(st.sampled_from(keys))
            if not isinstance(inside[key], (dict, list)) or not inside[key] or draw(RARELY):
                break
            inside = inside[key]
        inside[key] = draw(VALUES)
        if draw(RARELY):
            del inside[key]
            if not inside:
                break
    return json.dumps(value).encode()


RARELY = st.sampled_from([False] * 5 + [True])


def slowly(text: bytes) -> Told:
    """What it says, without all that makes it quick."""
    one_by_one = patch.object(Cleaner, "times", lambda self, values: [*map(self.time, values)])
    nothing_met = patch.multiple(told, _MET={}, _MOST_MET=0)
    with one_by_one, nothing_met, patch.object(cleaning, "_DECODER", cleaning._WARY):
        return told.read("pc07", NOW, text)


@given(changed(), changed())
def test_what_was_met_before_changes_nothing(before: bytes, text: bytes) -> None:
    """Neither what other PCs said, nor what the same one said, nor how it is decoded."""
    expected = repr(slowly(text))  # which tells 0 from 0.0 and from false
    for each in (before, json.dumps(REAL[0]).encode()):
        told.read("pc08", NOW, each)
        assert repr(told.read("pc07", NOW, text)) == expected


@pytest.mark.parametrize("code", [False, True, 0.0, 1.0, -0.0, "0", [0], None, 10**30])
def test_a_number_that_only_equals_one_that_was_met(code: Any) -> None:
    script = {"name": "50x", "state": "satisfied", "why": "exit", "since": NOW - 1, "last": ""}

    def text(code: Any) -> bytes:
        value = {**REPORT, "systems": [{**SYSTEM, "scripts": [{**script, "code": code}]}]}
        return json.dumps(value).encode()

    for met in (0, 1):
        told.read("pc08", NOW, text(met))
    assert repr(told.read("pc07", NOW, text(code))) == repr(slowly(text(code)))


def test_what_is_kept_of_scripts_is_bounded() -> None:
    met: dict[tuple[Any, ...], Any] = {}
    with patch.multiple(told, _MET=met, _MOST_MET=5):
        for number in range(9):
            script = {"name": f"{number}", "state": "due", "why": "", "code": 1, "last": ""}
            long = {**script, "why": "x" * 9000}
            read({**REPORT, "systems": [{**SYSTEM, "scripts": [long, script]}]})
    assert len(met) == 5
    assert all(why == "" for _, _, why, _, _ in met)


TIMES = st.lists(st.floats() | st.floats(-10, 10) | st.integers() | JSON, max_size=4)


@given(TIMES, st.floats(-10, 10))
def test_times_are_moved_together_as_one_by_one(values: list[Any], skew: float) -> None:
    clean = Cleaner(5.0)
    clean.skew = skew
    assert repr(clean.times(values)) == repr([*map(clean.time, values)])
