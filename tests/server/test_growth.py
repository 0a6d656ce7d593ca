"""An overlay that grew by more than anybody is likely to mean is refused, until it is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from allie.client.mirror import accept
from allie.machine.programs import pipes
from tests.worlds.one_pc import World

pytestmark = [pytest.mark.real, pytest.mark.root]


def files(count: int, where: str = "etc/d") -> dict[str, str]:
    return {f"{where}/f{each}": "" for each in range(count)}


@pytest.mark.parametrize(
    ("had", "more", "refused"),
    [
        (3, 400, False),  # tenfold, but some hundreds
        (3, 600, True),
        (90, 700, False),  # many, but not tenfold
        (90, 1000, True),
    ],
)
def test_tenfold_is_refused_and_what_it_had_stands(
    tmp_path: Path, had: int, more: int, refused: bool
) -> None:
    world = World(tmp_path, {**files(had), "etc/motd": "one\n"})
    world.good()
    world.put({**files(more, "etc/more"), "etc/motd": "two\n"})
    world.at("etc/d/f0").write_text("drift")
    done = world.tick()
    if not refused:
        assert (done.rc, world.read("etc/motd")) == (0, "two\n")
        return
    assert done.rc == 1, done.out
    assert "overlay common grew from" in done.out
    assert "touch overlays/common/.allie-large" in done.out
    assert (world.read("etc/motd"), world.there("etc/more")) == ("one\n", False)
    assert world.read("etc/d/f0") == "", "drift is repaired"
    assert not [*world.state("mirror").glob("*.part")]
    assert not world.state("mirror/left").exists()
    world.put({".allie-large": ""})
    world.good()
    assert world.read("etc/motd") == "two\n"
    assert not world.there(".allie-large")


def test_a_large_first_fetch_is_refused_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ordinary one is not, however little the PC had before."""
    monkeypatch.setattr(accept, "MANY_NAMES", 700)
    world = World(tmp_path, files(600))
    world.put(files(600), "other")
    world.good()
    world.follow("common, other")
    world.good()
    world.put(files(800), "third")
    world.follow("common, other, third")
    done = world.tick()
    assert done.rc == 1
    assert "overlay third grew to 802 names" in done.out
    world.put({".allie-large": ""}, "third")
    world.good()
    world.put({"etc/later": ""}, "third")
    world.good()


def test_beyond_the_end_nobody_can_mean_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hostile store consents to everything."""
    monkeypatch.setattr(accept, "MOST_NAMES", 1000)
    world = World(tmp_path, {".allie-large": "", "etc/motd": "one\n"})
    world.good()
    world.put(files(1200))
    for _ in range(2):
        done = world.tick()
        assert done.rc == 1
        assert "overlay common grew" in done.out
        assert "make it smaller" in done.out
        assert not [*world.state("mirror").glob("*.part")]
    other = World(tmp_path / "other", {".allie-large": "", **files(1200)})
    done = other.tick()
    assert "make it smaller" in done.out
    assert not [*other.state("mirror").glob("*.part")]


def test_what_the_answer_tells_is_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the answer has no end: its beginning is enough."""
    world = World(tmp_path, {"etc/motd": "one\n"})
    world.good()
    world.put(files(2000))
    began = world.state("mirror").stat().st_mtime_ns
    for most in (1 << 24, 1 << 16):
        monkeypatch.setattr(pipes, "_MOST_OUT", most)
        done = world.tick()
        assert done.rc == 1
        assert "overlay common grew" in done.out
        assert world.state("mirror").stat().st_mtime_ns == began
    world.put({".allie-large": ""})
    world.good()
    assert world.there("etc/d/f1999")
