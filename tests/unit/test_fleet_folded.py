"""Equal events of many PCs are one line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from allie.server.history.compare import Event
from allie.server.history.folded import folded, plainly

HOUR = 3600.0


def change(at: float, host: str, what: str = "/etc/motd changed") -> Event:
    return Event(at, host, "debian12", "change", what)


def shown(events: list[Event]) -> list[tuple[float, float, str, str]]:
    newest = sorted(events, key=lambda each: -each.at)
    return [(each.first, each.last, each.hosts, each.what) for each in folded(newest)]


def test_a_roll_out_is_one_line_and_what_is_between_stays() -> None:
    events = [change(at * 90.0, f"pc{at:02}") for at in range(1, 39)]
    events.append(change(1000.0, "pc07", "/etc/hosts changed"))
    assert shown(events) == [
        (90.0, 38 * 90.0, "pc[01-38]", "/etc/motd changed"),
        (1000.0, 1000.0, "pc07", "/etc/hosts changed"),
    ]


def test_the_same_a_day_later_is_another() -> None:
    events = [change(0, "pc01"), change(3 * HOUR, "pc01"), change(3 * HOUR + 1, "pc02")]
    assert shown(events) == [
        (3 * HOUR, 3 * HOUR + 1, "pc[01-02]", "/etc/motd changed"),
        (0, 0, "pc01", "/etc/motd changed"),
    ]


def test_what_never_ends_is_divided_by_days() -> None:
    events = [change(at * HOUR, "pc01") for at in range(60)]
    assert len(shown(events)) == 3


def test_a_pc_that_stands_so_again_stood_otherwise_between() -> None:
    ends = "failing → current"
    events = [Event(at, "pc07", "", "state", ends) for at in (0.0, 1200.0)]
    events += [Event(600.0, "pc07", "", "state", "current → failing: 65x exit 3")]
    events += [Event(at, "pc08", "", "state", ends) for at in (30.0, 1230.0)]
    assert shown(events) == [
        (1200.0, 1230.0, "pc[07-08]", ends),
        (600.0, 600.0, "pc07", "current → failing: 65x exit 3"),
        (0.0, 30.0, "pc[07-08]", ends),
    ]


def test_what_a_state_says_is_not_said_twice() -> None:
    told = [
        Event(50.0, host, system, kind, what)
        for host in ("pc01", "pc02")
        for system, kind, what in (
            ("debian12", "script", "20x fails: exit 1"),
            ("debian12", "script", "30y fails: exit 1"),
            ("", "state", "current → failing: 20x exit 1 (and more)"),
        )
    ]
    lines = [each.what for each in plainly(folded(told))]
    assert lines == ["30y fails: exit 1", "current → failing: 20x exit 1 (and more)"]


@given(st.lists(st.tuples(st.integers(0, 200_000), st.integers(0, 5), st.integers(0, 2))))
def test_nothing_is_lost_or_made_up(facts: list[tuple[int, int, int]]) -> None:
    events = [change(float(at), f"pc{host}", f"what {what}") for at, host, what in facts]
    lines = shown(events)
    assert [last for _, last, _, _ in lines] == sorted((each[1] for each in lines), reverse=True)
    for event in events:
        assert any(
            what == event.what and first <= event.at <= last for first, last, _, what in lines
        )
