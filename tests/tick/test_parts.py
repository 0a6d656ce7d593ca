"""Two parts, each a transaction of its own; facts of the store from the generation.

docs/internals/rules.md, "Two parts, two transactions".
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.worlds.one_pc import World, snapshot
from tests.worlds.toy import make_tree

pytestmark = [pytest.mark.real, pytest.mark.root]

CLASSES = "lab: pc[01-20]\n"


def test_00overlay_places_plain_files_and_leaves_those_with_variants(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "a\n", "etc/v": "any\n", "etc/v##host.pc07": "mine\n"})
    world.pc.run("00overlay").ok()
    assert world.read("etc/a") == "a\n"
    assert not world.there("etc/v")
    world.pc.run("01overact").ok()
    assert world.read("etc/v") == "mine\n"
    world.pc.run("00overlay").ok()
    assert world.read("etc/v") == "mine\n"  # never flaps between default and variant
    world.steady()


def test_an_inactive_variant_never_appears(tmp_path: Path) -> None:
    world = World(
        tmp_path,
        {"etc/v##host.other": "x\n", "etc/d##host.other/f": "x\n", "etc/bad##nosuch.x": "x\n"},
    )
    before = snapshot(world.root)
    world.tick()
    assert [name for name in snapshot(world.root) if name not in before] == []


def test_each_part_repairs_only_its_own(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "a\n", "etc/v##host.pc07": "v\n"})
    world.good()
    world.at("etc/a").write_text("drift\n")
    world.at("etc/v").write_text("drift\n")
    world.pc.run("01overact").ok()
    assert (world.read("etc/a"), world.read("etc/v")) == ("drift\n", "v\n")
    world.at("etc/v").write_text("drift\n")
    world.pc.run("00overlay").ok()
    assert (world.read("etc/a"), world.read("etc/v")) == ("a\n", "drift\n")


def test_a_path_that_changes_its_part_takes_its_pristine_along(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n", "etc/b": "b\n"}, root={"etc/a": "before\n"})
    world.good()
    world.put({"etc/a##host.pc07": "2\n"})
    world.pc.run("00overlay").ok()
    assert world.read("etc/a") == "1\n"
    world.pc.run("01overact").ok()
    assert world.read("etc/a") == "2\n"
    world.steady()
    world.take("etc/a##host.pc07")
    world.pc.run("00overlay").ok()
    assert world.read("etc/a") == "1\n"
    world.pc.run("01overact").ok()
    world.steady()
    world.take("etc/a")
    world.good()
    assert world.read("etc/a") == "before\n"


def test_any_overlays_tag_makes_a_path_overacts(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n"}, overlays="common, lab")
    world.put({"etc/a##host.other": "2\n", "etc/x": "x\n"}, "lab")
    world.pc.run("00overlay").ok()
    assert not world.there("etc/a")
    world.good()
    assert world.read("etc/a") == "1\n"


def test_00overlay_does_not_withdraw_variants_of_a_tick_that_was_cut_short(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "a\n", "etc/v##host.pc07": "v\n"})
    world.good()
    world.put({"etc/a": "2\n"})
    world.pc.run("00overlay").ok()
    assert world.read("etc/v") == "v\n"
    world.take("etc/v##host.pc07")
    world.pc.run("00overlay").ok()
    assert world.read("etc/v") == "v\n"  # 01overact's to withdraw
    world.pc.run("01overact").ok()
    assert not world.there("etc/v")


def test_new_classes_take_effect_in_one_tick(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/v": "any\n", "etc/v##class.lab": "lab\n"})
    world.good()
    assert world.read("etc/v") == "any\n"
    world.put({"etc/allie/classes": CLASSES})
    world.good()
    assert world.read("etc/v") == "lab\n"
    world.put({"etc/allie/classes##host.pc07": "lab: pc99\n"})
    world.good()
    assert world.read("etc/v") == "any\n"


def test_a_broken_classes_file_changes_no_class(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/v##class.lab": "lab\n", "etc/allie/classes": CLASSES})
    world.good()
    world.put({"etc/allie/classes": "lab pc07\n", "etc/x": "x\n"})
    done = world.tick()
    assert done.rc == 1
    assert (
        "etc/allie/classes cannot be used, the classes of before are: classes, line 1" in done.out
    )
    assert (world.read("etc/v"), world.read("etc/allie/classes")) == ("lab\n", CLASSES)
    assert world.read("etc/x") == "x\n"
    world.steady(rc=1)


def test_settings_that_arrive_are_followed_in_the_same_tick(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "a\n"}, overlays="common")
    world.good()
    world.put({"etc/b": "b\n"}, "lab")
    text = world.read("etc/allie/allie.conf").replace("overlays = common", "overlays = common, lab")
    world.put({"etc/allie/allie.conf": text})
    world.good()
    assert world.read("etc/b") == "b\n"


def test_settings_that_cannot_be_used_are_not_placed(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "a\n"})
    world.good()
    own = world.read("etc/allie/allie.conf")
    world.put({"etc/allie/allie.conf": "[allie]\nstore = nowhere\n", "etc/b": "b\n"})
    done = world.tick()
    assert done.rc == 1
    assert "etc/allie/allie.conf" in done.out
    assert world.read("etc/allie/allie.conf") == own
    assert world.read("etc/b") == "b\n"
    world.steady(rc=1)


def test_a_tie_is_left_as_it_stands_and_named(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/v##class.a": "a\n", "etc/w": "w\n"})
    world.put({"etc/allie/classes": "a: pc*\nb: pc*\n"})
    world.good()
    world.put({"etc/v##class.b": "b\n", "etc/w": "w2\n"})
    done = world.tick()
    assert done.rc == 1
    assert "etc/v##class.a" in done.out
    assert "etc/v##class.b" in done.out
    assert (world.read("etc/v"), world.read("etc/w")) == ("a\n", "w2\n")
    world.steady(rc=1)
    world.take("etc/v##class.a")
    world.good()
    assert world.read("etc/v") == "b\n"


def test_a_tie_at_a_path_that_was_never_placed_places_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/v": "1\n", "etc/v##absent": "", "etc/motd##once": "x\n"})
    world.put({"etc/motd": "y\n"})
    assert world.tick().rc == 1
    assert not world.there("etc/v")
    assert world.read("etc/motd") == "Welcome.\n"
    make_tree(world.root, {"etc/v": "users\n"})
    world.steady(rc=1)
