"""The report of a tick: as a value, as JSON and back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allie.core.change.plan import FORGET, NOTE, PLACE, REMOVE, RESTORE, Change, Plan
from allie.core.change.report import (
    MOST_NAMES,
    Applied,
    Contact,
    Report,
    applied_of,
    from_json,
    to_json,
)
from allie.core.change.resolution import Problem
from allie.core.script import Verdict
from tests.unit.test_ledger import PATHS

TIE = Problem("etc/motd", "is a tie between: a and b")
QUIET = Report(7, "debian12", "pc07", "1.0", 1000.0, 0.1)
PLAN = Plan("overlay", 5, (), ())


# --- what a part did ---------------------------------------------------------------------------


def test_changes_are_counted_and_named_by_their_cause() -> None:
    done = [
        Change("a", PLACE, "new"),
        Change("b", PLACE, "drift"),
        Change("c", PLACE, "drift"),
        Change("d", REMOVE, "withdrawn"),
        Change("e", RESTORE, "withdrawn"),
    ]
    found = applied_of(3, PLAN, done, [TIE])
    assert found == Applied(
        3,
        "overlay",
        5,
        {"new": ["a"], "drift": ["b", "c"], "withdrawn": ["d", "e"]},
        {"new": 1, "drift": 2, "withdrawn": 2},
        (TIE,),
        kinds={"b": "removed", "c": "removed"},
    )
    assert found.changed == 5


def test_what_changes_only_the_ledger_is_no_change_but_what_was_left_is_named() -> None:
    done = [
        Change("a", NOTE, "seen again"),
        Change("b", NOTE, "adopted"),
        Change("c", FORGET, "left: edited here"),
        Change("d", FORGET, "withdrawn"),
    ]
    found = applied_of(3, PLAN, done, [])
    assert found.changed == 0
    assert found.did == {"adopted": ["b"], "left: edited here": ["c"]}


def test_many_names_are_cut_but_the_count_is_right() -> None:
    done = [Change(f"f{number:03d}", PLACE, "new") for number in range(MOST_NAMES + 50)]
    found = applied_of(3, PLAN, done, [])
    assert found.counts == {"new": MOST_NAMES + 50}
    assert found.did["new"] == [f"f{number:03d}" for number in range(MOST_NAMES)]


# --- does somebody have to look? ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("report", "attention", "quiet"),
    [
        pytest.param(QUIET, False, True, id="nothing"),
        pytest.param(
            QUIET._replace(scripts=(Verdict("50a", "satisfied", "satisfied"),)),
            False,
            True,
            id="a script that did not run",
        ),
        pytest.param(
            QUIET._replace(scripts=(Verdict("00overlay", "satisfied", "exit 0", code=0),)),
            False,
            True,
            id="the overlay script ran, as always",
        ),
        pytest.param(
            QUIET._replace(scripts=(Verdict("50a", "satisfied", "exit 0", code=0),)),
            False,
            False,
            id="a script ran",
        ),
        pytest.param(
            QUIET._replace(began=9.0, scripts=(Verdict("50a", "waiting", "", 9.5, code=75),)),
            False,
            False,
            id="a script begins to wait",
        ),
        pytest.param(
            QUIET._replace(began=9.0, scripts=(Verdict("50a", "waiting", "", 8.0, code=75),)),
            False,
            True,
            id="a script goes on waiting",
        ),
        pytest.param(
            QUIET._replace(scripts=(Verdict("50a", "failing", "exit 1", code=1),)),
            True,
            False,
            id="a script fails",
        ),
        pytest.param(
            QUIET._replace(applied=(Applied(7, "overlay", problems=(TIE,)),)),
            True,
            False,
            id="a path was left",
        ),
        pytest.param(
            QUIET._replace(applied=(Applied(7, "overlay", counts={"new": 1}),)),
            False,
            False,
            id="a path was placed",
        ),
        pytest.param(QUIET._replace(notes=("look here",)), True, False, id="a note"),
        pytest.param(
            QUIET._replace(contact=Contact(trouble="does not answer")),
            False,
            True,
            id="the store is away: no failure",
        ),
        pytest.param(
            QUIET._replace(contact=Contact(trouble="lost all", refused=True)),
            True,
            False,
            id="what the store has was refused",
        ),
    ],
)
def test_what_needs_attention_and_what_is_quiet(
    report: Report, attention: bool, quiet: bool
) -> None:
    assert (report.needs_attention, report.is_quiet) == (attention, quiet)


def test_all_problems_of_both_parts() -> None:
    other = Problem("b", "x")
    parts = (Applied(7, "overlay", problems=(TIE,)), Applied(7, "overact", problems=(other,)))
    assert QUIET._replace(applied=parts).problems == [TIE, other]


def test_trouble_is_since_its_first_time() -> None:
    well = Contact("rsync://a", 5, good=10.0)
    first = well.after_trouble("no route", 20.0)
    second = first.after_trouble("still no route", 30.0)
    assert (first.trouble, first.since, first.good) == ("no route", 20.0, 10.0)
    assert (second.trouble, second.since, second.generation) == ("still no route", 20.0, 5)


# --- JSON --------------------------------------------------------------------------------------

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
TIMES = st.floats(0, 2e9)
PROBLEMS = st.lists(st.builds(Problem, PATHS, WORDS), max_size=2).map(tuple)
APPLIED = st.builds(
    Applied,
    tick=st.integers(0, 99),
    part=st.sampled_from(["overlay", "overact"]),
    generation=st.integers(0, 99),
    did=st.dictionaries(WORDS, st.lists(PATHS, max_size=3), max_size=2),
    counts=st.dictionaries(WORDS, st.integers(0, 99), max_size=2),
    problems=PROBLEMS,
    paused=st.booleans(),
)
REPORTS = st.builds(
    Report,
    tick=st.integers(0, 99),
    system=WORDS,
    host=WORDS,
    version=WORDS,
    began=TIMES,
    seconds=TIMES,
    verb=WORDS,
    image=WORDS,
    classes=st.lists(WORDS, max_size=2).map(tuple),
    contact=st.builds(Contact, server=WORDS, good=TIMES, trouble=WORDS, since=TIMES),
    applied=st.lists(APPLIED, max_size=2).map(tuple),
    scripts=st.lists(
        st.builds(Verdict, name=WORDS, state=WORDS, why=WORDS, code=st.none() | st.integers()),
        max_size=2,
    ).map(tuple),
    paused=WORDS,
    notes=st.lists(PATHS, max_size=2).map(tuple),
)


@given(REPORTS)
def test_what_was_written_is_read_back_the_same(report: Report) -> None:
    assert from_json(json.loads(json.dumps(to_json(report)))) == report


def test_what_a_newer_version_added_is_passed_over() -> None:
    report = QUIET._replace(
        applied=(Applied(7, "overlay", problems=(TIE,)),),
        scripts=(Verdict("50a", "satisfied", "exit 0"),),
    )
    value = to_json(report)
    for place in (
        value,
        value["contact"],
        value["scripts"][0],
        value["applied"][0],
        value["applied"][0]["problems"][0],
    ):
        place["newer"] = "thing"
    assert from_json(value) == report


def test_what_an_older_version_did_not_have_gets_its_default() -> None:
    value = to_json(QUIET)
    for name in ("verb", "contact", "applied", "scripts", "notes", "classes"):
        del value[name]
    assert from_json(value) == QUIET
