"""Two names in the overlays that are one file on the PC.

docs/internals/rules.md, "Two names may be one file".
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.worlds.one_pc import World

pytestmark = [pytest.mark.real, pytest.mark.root]


def test_the_later_overlay_wins_as_for_equal_names(tmp_path: Path) -> None:
    world = World(tmp_path, {"lib/x": "first\n"}, overlays="common, lab")
    world.put({"usr/lib/x": "second\n"}, "lab")
    world.good()
    assert world.read("usr/lib/x") == "second\n"
    world.follow("lab, common")
    world.good()
    assert world.read("usr/lib/x") == "first\n"


def test_within_one_overlay_it_is_an_error_of_that_path_alone(tmp_path: Path) -> None:
    world = World(tmp_path, {"lib/x": "1\n", "usr/lib/x": "2\n", "etc/y": "3\n"})
    done = world.tick()
    assert done.rc == 1
    assert "lib/x and usr/lib/x" in done.out or "usr/lib/x and lib/x" in done.out
    assert not world.there("usr/lib/x")
    assert world.read("etc/y") == "3\n"
    world.steady(rc=1)
    world.take("lib/x")
    world.good()
    assert world.read("usr/lib/x") == "2\n"


def test_one_that_was_placed_stays_when_a_dispute_begins(tmp_path: Path) -> None:
    world = World(tmp_path, {"lib/x": "1\n"})
    world.good()
    world.put({"usr/lib/x": "2\n"})
    assert world.tick().rc == 1
    assert world.read("usr/lib/x") == "1\n"
    world.take("lib/x")
    world.good()
    assert world.read("usr/lib/x") == "2\n"


def test_a_file_that_moves_to_its_real_name_is_not_withdrawn(tmp_path: Path) -> None:
    world = World(tmp_path, {"lib/x": "1\n", "lib/y": "2\n"}, root={"usr/lib/x": "before\n"})
    world.good()
    world.overlay().joinpath("usr").mkdir()
    world.overlay().joinpath("lib").rename(world.overlay() / "usr/lib")
    world.good()
    assert world.read("usr/lib/x") == "1\n"
    assert world.read("usr/lib/y") == "2\n"
    world.take("usr/lib/x")  # its pristine came along
    world.good()
    assert world.read("usr/lib/x") == "before\n"


def test_the_same_for_a_variant(tmp_path: Path) -> None:
    world = World(tmp_path, {"lib/x##host.pc07": "1\n"}, root={"usr/lib/x": "before\n"})
    world.good()
    world.take("lib/x##host.pc07")
    world.put({"usr/lib/x": "2\n"})
    world.good()
    assert world.read("usr/lib/x") == "2\n"
    world.take("usr/lib/x")
    world.put({"etc/other": "o\n"})
    world.good()
    assert world.read("usr/lib/x") == "before\n"


def test_moved_from_one_overlay_to_another(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/x": "1\n", "etc/a": "a\n"}, overlays="common, lab")
    world.put({"etc/b": "b\n"}, "lab")
    world.good()
    inode = world.at("etc/x").stat().st_ino
    world.overlay().joinpath("etc/x").rename(world.overlay("lab") / "etc/x")
    world.good()
    assert world.at("etc/x").stat().st_ino == inode
