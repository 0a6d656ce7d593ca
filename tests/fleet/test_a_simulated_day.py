"""Real clients at real doors through a simulated day: at each hour the fleet is shown as it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from allie.server.history import notes
from tests.fleet.day import Day
from tests.fleet.generated import GeneratedDay
from tests.fleet.story import DAY, HOUR, ROLES
from tests.worlds.doors import can_be_opened

pytestmark = [
    *(pytest.mark.real, pytest.mark.root, pytest.mark.slow),
    pytest.mark.skipif(bool(can_be_opened()), reason=can_be_opened() or "-"),
]


@pytest.fixture
def day(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Day]:
    with Day(tmp_path, request.param) as day:
        yield day


@pytest.mark.parametrize("day", [ROLES], indirect=True)
def test_what_is_said_at_each_hour_is_what_is_so(day: Day) -> None:
    states: dict[str, set[str]] = {pc.host: set() for pc in day.pcs}
    for _ in day.hours():
        assert day.wrong() == []
        for pc in day.pcs:
            states[pc.host].add(day.is_so(pc).state)
    # and all of this was seen
    assert set.union(*states.values()) == {
        *("stale", "failing", "refused", "paused", "behind", "off", "current")
    }


def test_so_it_is_with_many_that_are_generated(tmp_path: Path) -> None:
    """And so the history counts them, and how many have what the store has."""
    day = GeneratedDay(tmp_path, 200)
    for _ in day.hours():
        assert day.wrong() == []
        assert day.miscounted() == []
    arrived = {each.reached.get("common", 0) for each in notes.counts(str(day.store))}
    assert len(arrived) > 4, arrived  # some were off, cut off or paused


@pytest.mark.parametrize("day", [1], indirect=True)
def test_a_pc_that_has_nothing_new_reports_once_a_day(day: Day) -> None:
    """Also one that is on for a few hours of it: a quick tick is none where a report is due."""
    (pc,) = day.pcs
    day.joined()
    last = day.heard(pc)
    gaps = []
    for hours in (3, 5, 16, 8, 15.9, 1, 23, 1):
        day.clock.forward(hours * HOUR)
        day.tick()
        if day.heard(pc) != last:
            gaps.append(day.heard(pc) - last)
            last = day.heard(pc)
    assert len(gaps) == 3, gaps
    assert all(0.99 * DAY < gap < 1.1 * DAY for gap in gaps), gaps
