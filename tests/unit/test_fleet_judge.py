"""How a PC stands: a row for each rule, and what must never depend on what."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allie.server.fleet import judge
from allie.server.fleet.standing import ATTENTION, STATES, Concern, Pc, SystemView
from allie.server.fleet.told import Told, ToldChange, ToldDoor, ToldProblem, ToldScript, ToldSystem

HOUR, DAY = 3600.0, 86400.0
NOW = 1_800_000_000.0
FAILS = ToldScript("50x", "failing", "exit 3", NOW - 600, 3, "no room")


def door(ago: float, trouble: str = "", *, refused: bool = False) -> ToldDoor:
    """How it stood with the store, so long before now."""
    return ToldDoor("rsync://s", NOW - ago, trouble, NOW - 300 if trouble else 0.0, refused)


GOOD = ToldSystem("debian12", ticked=NOW - HOUR, contact=door(HOUR))


def judged(
    system: ToldSystem, *, heard: float = HOUR, changed: float = 10 * DAY, usual: float = 0.0
) -> Pc:
    """A PC of one system, heard of and its overlays changed so long before now."""
    told = Told("pc07", NOW - heard, systems=(system,))
    silent = judge.silence(told, usual, NOW)
    view = judge.system(told, system, NOW - changed, 0.0, silent, NOW)
    return judge.pc("pc07", ("reported",), told, (view,), silent)


ROWS: list[tuple[str, dict[str, Any], str, str, str]] = [
    ("all is well", {}, "current", "", ""),
    ("a script waits", {"scripts": (FAILS._replace(state="waiting"),)}, "current", "", ""),
    (
        "a script fails",
        {"scripts": (FAILS,)},
        "failing",
        "50x exit 3",
        "ssh pc07 allie run-conf 50x",
    ),
    (
        "one is killed",
        {"scripts": (FAILS._replace(code=-9),)},
        "failing",
        "50x ended by signal 9",
        "ssh pc07 allie run-conf 50x",
    ),
    (
        "one that is called as an option",
        {"scripts": (FAILS._replace(name="--root=/"),)},
        "failing",
        "--root=/ exit 3",
        "ssh pc07 allie status",
    ),
    (
        "a path is left",
        {"problems": (ToldProblem("etc/a b", "tie"),)},
        "failing",
        "/etc/a b is left as it is: tie",
        """ssh pc07 'allie why '"'"'/etc/a b'"'"''""",
    ),
    ("a note", {"notes": ("look",)}, "failing", "look", "ssh pc07 allie status"),
    (
        "refused",
        {"contact": door(HOUR, "no kit", refused=True)},
        "refused",
        "no kit",
        "ssh pc07 allie status",
    ),
    (
        "its own is refused",
        {"own": door(HOUR, "empty", refused=True)},
        "refused",
        "empty",
        "ssh pc07 allie status",
    ),
    ("paused", {"paused": "exam"}, "paused", "exam", "ssh pc07 allie resume"),
    ("failing and paused", {"paused": "exam", "notes": ("look",)}, "failing", "look", ""),
    ("arriving", {"ticked": 0.0, "arriving": "3 MiB"}, "arriving", "3 MiB", ""),
    ("not brought", {"ticked": 0.0, "trouble": "no room"}, "failing", "no room", ""),
    ("the store is away, and has nothing new", {"contact": door(HOUR, "away")}, "current", "", ""),
]


@pytest.mark.parametrize(("case", "change", "state", "why", "todo"), ROWS, ids=[r[0] for r in ROWS])
def test_states(case: str, change: dict[str, Any], state: str, why: str, todo: str) -> None:
    pc = judged(GOOD._replace(**change))
    assert (pc.state, pc.why) == (state, why), case
    assert not todo or pc.worst.todo(pc.host) == todo
    assert bool(pc.worst.todo(pc.host)) == (state in (*ATTENTION, "paused"))


# changed, heard, last good contact (each so long ago), what it said, usual silence: state, reached
TIMES = [
    (10 * DAY, HOUR, HOUR, "", 0, "current", True),
    (HOUR, 2 * HOUR, 2 * HOUR, "", 0, "current", False),  # on its way
    (HOUR, HOUR / 2, HOUR / 2, "", 0, "current", True),
    (HOUR, HOUR / 2, 3 * HOUR, "", 0, "current", False),  # heard of, but it is not time yet
    (3 * HOUR, HOUR, 4 * HOUR, "", 0, "behind", False),
    (3 * HOUR, 4 * HOUR, 4 * HOUR, "", 0, "current", False),  # nothing was heard of it since
    (HOUR, HOUR / 2, 4 * HOUR, "away", 0, "behind", False),  # it says itself that it has not
    (3 * HOUR, 27 * HOUR, 27 * HOUR, "", 0, "off", False),
    (10 * DAY, 25 * HOUR, 25 * HOUR, "", 0, "current", True),
    (10 * DAY, 27 * HOUR, 27 * HOUR, "", 0, "off", True),
    (10 * DAY, 71 * HOUR, 71 * HOUR, "", 0, "off", True),
    (10 * DAY, 73 * HOUR, 73 * HOUR, "", 0, "stale", True),
    (30 * DAY, 13 * DAY, 13 * DAY, "", 7 * DAY, "off", True),  # it is away each week
    (30 * DAY, 15 * DAY, 15 * DAY, "", 7 * DAY, "stale", True),
    (90 * DAY, 31 * DAY, 31 * DAY, "", 60 * DAY, "stale", True),
]


@pytest.mark.parametrize(("changed", "heard", "good", "said", "usual", "state", "reached"), TIMES)
def test_times(
    changed: float, heard: float, good: float, said: str, usual: float, state: str, reached: bool
) -> None:
    system = GOOD._replace(ticked=NOW - good, contact=door(good, said))
    pc = judged(system, heard=heard, changed=changed, usual=usual)
    assert pc.state == state
    assert (pc.systems[0].reached > 0) == reached
    assert pc.systems[0].is_so_now == (reached and state == "current")


def test_one_that_fails_and_is_off_still_fails() -> None:
    pc = judged(GOOD._replace(scripts=(FAILS,)), heard=30 * HOUR)
    assert (pc.state, pc.stands("off"), pc.stands("stale")) == ("failing", True, False)
    assert judged(GOOD._replace(scripts=(FAILS,)), heard=90 * HOUR).state == "stale"


def test_what_was_changed_by_hand_is_no_state() -> None:
    change = ToldChange(NOW - HOUR, {"drift": ("etc/a",), "missing": ("etc/b",), "new": ("c",)})
    pc = judged(GOOD._replace(change=change))
    assert (pc.state, pc.drift) == ("current", ("etc/a", "etc/b"))


@pytest.mark.parametrize(
    ("told", "is_enrolled", "why", "todo"),
    [
        (None, True, "has never reported", "ssh pc07 allie status"),
        (
            None,
            False,
            "has never reported, and is not enrolled",
            "allie store enrol --scan pc07 --store '/srv/a b'",
        ),
        (Told("pc07", NOW, "its report is no JSON"), True, "its report is no JSON", "ls -la"),
        (Told("pc07", NOW, systems=(GOOD,)), False, "", ""),
    ],
)
def test_absence(told: Told | None, is_enrolled: bool, why: str, todo: str) -> None:
    found = judge.silence(told, 0.0, NOW, store="/srv/a b", can_report=is_enrolled)
    assert (found.why if found else "") == why
    assert (found.todo("pc07") if found else "").startswith(todo)


SYSTEMS = st.builds(
    ToldSystem,
    name=st.just("a"),
    ticked=st.just(NOW - DAY),
    contact=st.builds(door, st.floats(HOUR, 9 * DAY), st.sampled_from(["", "away"])),
    scripts=st.lists(st.just(FAILS), max_size=1).map(tuple),
    notes=st.lists(st.just("look"), max_size=1).map(tuple),
    paused=st.sampled_from(["", "exam"]),
)


@given(SYSTEMS, st.floats(0, 40 * DAY), st.floats(0, 40 * DAY), st.floats(0, 20 * DAY))
def test_more_trouble_and_more_silence_never_look_better(
    system: ToldSystem, heard: float, changed: float, more: float
) -> None:
    def badness(*args: Any, **named: Any) -> int:
        return -STATES.index(judged(*args, **named).state)

    as_it_is = badness(system, heard=heard, changed=changed)
    failing = system._replace(scripts=(FAILS,))
    assert badness(failing, heard=heard, changed=changed) >= as_it_is
    silent = badness(system, heard=heard + more, changed=changed)
    if judged(system, heard=heard, changed=changed).state != "behind":  # it may have come since
        assert silent >= as_it_is


def test_all_of_a_pc_stands_as_its_worst() -> None:
    told = Told("pc07", NOW)
    views = tuple(SystemView(GOOD, Concern(each, each)) for each in ("current", "failing", "off"))
    pc = judge.pc("pc07", (), told, views, Concern("off", "late"), ("lab",))
    assert (pc.state, pc.why, pc.classes) == ("failing", "failing", ("lab",))
