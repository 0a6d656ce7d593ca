"""How long a PC is usually silent, of what is kept of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from allie.server.fleet import rhythm

DAY = 86400.0
NOW = 1_796_000_000.0


def test_what_happened_twice_is_usual() -> None:
    weekends = [(NOW - 14 * DAY, 2.5 * DAY), (NOW - 7 * DAY, 2.6 * DAY)]
    assert rhythm.usual(weekends[:1], NOW) == 0
    assert rhythm.usual(weekends, NOW) == 2.5 * DAY
    assert rhythm.usual([*weekends, (NOW - 3 * DAY, 20 * DAY)], NOW) == 2.6 * DAY, "one holiday"
    assert rhythm.usual(weekends, NOW + 100 * DAY) == 0, "long ago"


def test_kept_bounded_and_not_twice(tmp_path: Path) -> None:
    (tmp_path / "fleet").mkdir()
    store = str(tmp_path)
    assert rhythm.read(store, NOW) == {}
    for week in range(40):
        silence = (NOW - (40 - week) * DAY, 2 * DAY + week)
        rhythm.add(store, {"pc07": silence})
        rhythm.add(store, {"pc07": silence})
    assert len(rhythm.kept(store)["pc07"]) == rhythm.MOST
    assert rhythm.read(store, NOW) == {"pc07": 2 * DAY + 38}


@pytest.mark.parametrize("length", [-5.0, 0.0, 61 * DAY])
def test_what_a_clock_did_is_no_silence(tmp_path: Path, length: float) -> None:
    (tmp_path / "fleet").mkdir()
    rhythm.add(str(tmp_path), {"pc07": (NOW, length)})
    assert rhythm.kept(str(tmp_path)) == {}


@pytest.mark.parametrize("text", ["", "[]", '{"pc07": 3}', '{"pc07": [[1]]}', "[" * 100_000, "\0"])
def test_damaged_it_is_as_if_nothing_was_known(tmp_path: Path, text: str) -> None:
    (tmp_path / "fleet").mkdir()
    (tmp_path / "fleet/rhythm").write_text(text)
    assert rhythm.read(str(tmp_path), NOW) == {}
    rhythm.add(str(tmp_path), {"pc07": (NOW - DAY, DAY), "pc08": (NOW - DAY, DAY)})
    assert set(rhythm.kept(str(tmp_path))) == {"pc07", "pc08"}
