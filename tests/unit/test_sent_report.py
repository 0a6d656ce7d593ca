"""What a PC tells its store, and when that is news.

docs/internals/rules.md, "A report goes when it has news".
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allie.core.change import hand_fix, sent_report
from allie.core.change.hand_fix import HandFix
from allie.core.change.ledger import Placed
from allie.core.change.plan import PLACE, REMOVE, Change, Plan
from allie.core.change.present import Standing
from allie.core.change.report import SENT_AGAIN, Applied, Contact, Report, applied_of
from allie.core.change.resolution import Problem
from allie.core.change.sent_report import Host, Times, is_due, told, value_of
from allie.core.facts import Facts
from allie.core.lean import dumps
from allie.core.script import Verdict

MACHINE = Host("pc07", "ab" * 16, "boot", 1_000_000, "6.1", 100 << 30, 50 << 30, "3.2.7")
QUIET = Report(
    7,
    "debian12",
    "pc07",
    "1.0",
    1000.0,
    0.1,
    contact=Contact("rsync://s", 3, 1000.0, answered=1000.0),
    scripts=(Verdict("50x", "satisfied", "exit 0", 900.0, 0, 0.5), Verdict("99report", "due", "")),
)
DRIFTED = Applied(7, "overlay", 3, {"drift": ["etc/a"]}, {"drift": 1})


def value(
    report: Report = QUIET, machine: Host = MACHINE, sent: Any = None, at: float = 5000.0
) -> dict[str, Any]:
    return value_of(machine, [told(report, sent or {}, ["kit"])], Times(at, at + 3600))


def test_facts_are_told_bounded_and_are_news() -> None:
    known = Facts("pc07", distro=("debian", *"abcdefghij"), version="12" * 900, arch="x86_64")
    sent = told(QUIET, {}, ["kit"], known)["facts"]
    assert (sent["distro"][0], len(sent["distro"]), len(sent["version"])) == ("debian", 8, 400)
    assert (sent["arch"], sent["virt"]) == ("x86_64", "")
    times = Times(5000.0, 8600.0)
    new = value_of(MACHINE, [told(QUIET, {}, ["kit"], known)], times)
    assert is_due(new, value(), 5000.0, 5001.0)
    assert not is_due(new, new, 5000.0, 5001.0)


PASSES = [
    QUIET._replace(tick=8, began=4600.0, seconds=3.0),
    QUIET._replace(contact=QUIET.contact._replace(good=4600.0, answered=4600.0)),
    QUIET._replace(applied=(Applied(7, "overlay", 3),)),
    QUIET._replace(scripts=(Verdict("50x", "satisfied", "", 950.0, None, 0.7),)),
]
NEWS = [
    QUIET._replace(applied=(DRIFTED,)),
    QUIET._replace(version="1.1"),
    QUIET._replace(classes=("lab",)),
    QUIET._replace(paused="holidays"),
    QUIET._replace(contact=QUIET.contact._replace(generation=4)),
    QUIET._replace(contact=QUIET.contact.after_trouble("is away", 1000.0)),
    QUIET._replace(own_door=Contact("ssh://s", trouble="waits")),
    QUIET._replace(scripts=(Verdict("50x", "failing", "exit 1", 950.0, 1, 0.7, "no room"),)),
    QUIET._replace(applied=(Applied(7, "overlay", 3, problems=(Problem("a", "tie"),)),)),
]


@pytest.mark.parametrize("other", PASSES)
def test_what_is_another_at_every_tick_is_no_news(other: Report) -> None:
    assert not is_due(value(other, at=9000.0), value(), 5000.0, 5001.0)


@pytest.mark.parametrize("other", NEWS)
def test_what_is_news(other: Report) -> None:
    assert is_due(value(other), value(), 5000.0, 5001.0)


@pytest.mark.parametrize(("gib", "due"), [(50, False), (54, False), (46, False), (56, True)])
def test_room_is_news_where_it_moved_much(gib: int, due: bool) -> None:
    now = value(machine=MACHINE._replace(free=gib << 30, booted=1_000_001))
    assert is_due(now, value(), 5000.0, 5001.0) == due
    assert is_due(value(machine=MACHINE._replace(boot="another")), value(), 5000.0, 5001.0)


def test_once_a_day_and_whenever_the_clock_went_back() -> None:
    assert not is_due(value(), value(), 5000.0, 5000.0 + SENT_AGAIN - 1)
    assert is_due(value(), value(), 5000.0, 5000.0 + SENT_AGAIN)
    assert is_due(value(), value(), 5000.0, 4999.0)
    assert is_due(value(), {}, 0.0, 1.0)


def test_the_tick_after_a_change_has_no_news() -> None:
    changed = value(QUIET._replace(applied=(DRIFTED,)))
    assert changed["systems"][0]["changed"]["did"] == {"drift": ["etc/a"]}
    assert not is_due(value(sent=changed), changed, 5000.0, 5001.0)


def test_it_is_bounded_and_does_not_tell_of_itself() -> None:
    many = Applied(
        7,
        "overlay",
        3,
        {"drift": ["x" * 4000] * 200},
        {"drift": 200},
        (Problem("y" * 4000, "z" * 9000),) * 500,
    )
    said = Verdict("50x", "failing", "w" * 9000, last="v" * 9000 + "\n" * 500 + "last")
    own = value(QUIET._replace(applied=(many,), scripts=(*QUIET.scripts, said)))["systems"][0]
    assert len(str(own)) < 100_000
    assert [each["name"] for each in own["scripts"]] == ["50x", "50x"]
    assert own["scripts"][1]["last"].endswith("last")
    assert own["changed"]["counts"] == {"drift": 200}


def test_however_much_there_is_to_tell_it_is_bounded() -> None:
    """Also what another system's root has made of its own report, whose headings are his."""
    long = "\N{SNOWMAN}" * 1000
    many = Applied(
        *(7, "overlay", 3, {f"{n}{long}": [long] * 200 for n in range(90)}, {}, ()),
        kinds={f"{n}{long}": "mode" for n in range(900)},
    )
    report = QUIET._replace(
        notes=(long,) * 90,
        paused=long,
        classes=(long,) * 900,
        contact=QUIET.contact._replace(trouble=long, away={f"{n}{long}": 1.0 for n in range(90)}),
        applied=(many._replace(counts={f"{n}{long}": 1 for n in range(90)}),),
        scripts=(Verdict("50x", "failing", long, last=f"{long}\n" * 9),) * 900,
    )
    systems = [told(report, {})] * 25
    fix = HandFix("etc/motd", "common", "etc/motd", "ab" * 32, bytes(hand_fix.LARGEST))
    for some in (systems[:1], systems):
        made = value_of(MACHINE, some, Times(1.0), [fix])
        assert made["cut"]
        assert made["systems"][0]["system"] == "debian12"
        assert len(dumps({**made, "offers": []})) <= sent_report.MOST
        assert len(dumps(made)) < sent_report.MOST + 1.4 * hand_fix.LARGEST
    assert "cut" not in value()


def test_failing_scripts_are_told_of_first_where_there_are_too_many() -> None:
    fine = [Verdict(f"{n}x", "satisfied", "") for n in range(300)]
    told_of = told(QUIET._replace(scripts=(*fine, Verdict("999x", "failing", ""))), {})["scripts"]
    assert (len(told_of), told_of[0]["name"]) == (200, "999x")


STOOD = {
    ("f:other", "0644 0 0"): "changed",
    ("f:other", "0600 7 7"): "changed",
    ("l:elsewhere", "0777 0 0"): "changed",
    ("f:old", "0600 0 0"): "mode",
    ("f:old", "0644 7 0"): "owner",
    ("f:old", "0644 0 7"): "owner",
    ("f:old", "0600 7 0"): "mode, owner",
    ("f:old", "0644 0 0 abcd"): "attributes",
    ("-", ""): "removed",
}


@pytest.mark.parametrize("stood", STOOD)
def test_what_of_a_path_was_changed_by_hand(stood: tuple[str, str]) -> None:
    old = Placed("common", "etc/a", "overlay", "", "", "f:old", "0644 0 0", "", "-")
    change = Change("etc/a", PLACE, "drift", None, None, old, Standing(*stood))
    if stood[0] == "-":
        change = change._replace(why="missing")
    other = change._replace(real="etc/b", why="changed")
    plan = Plan("overlay", 3, (change, other), ())
    done = applied_of(7, plan, [change, other], [])
    assert done.kinds == {"etc/a": STOOD[stood]}
    sent = value(QUIET._replace(applied=(done,)))["systems"][0]["changed"]
    assert sent["kinds"] == {"etc/a": STOOD[stood]}


def test_what_was_to_be_absent_and_came_was_made() -> None:
    old = Placed("common", "etc/a##absent", "overact", "absent", "", "-", "", "", "-")
    change = Change("etc/a", REMOVE, "drift", None, None, old, Standing("f:new", "0644 0 0"))
    assert applied_of(7, Plan("overact", 3, (), ()), [change], []).kinds == {"etc/a": "made"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.text("ab", max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["tick", "good", "name", "did"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON)
def test_whatever_was_noted_is_compared(sent: Any) -> None:
    assert sent_report._lasting(sent) == sent_report._lasting(sent_report._lasting(sent))
    assert is_due(value(), {"systems": sent}, 5000.0, 5001.0)
