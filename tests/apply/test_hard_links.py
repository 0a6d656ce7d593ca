"""Paths that are one inode in the store are placed, kept and undone together.

docs/internals/rules.md, "Hard links go together".
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.worlds.one_pc import World, differences, injected, plain, snapshot
from tests.worlds.toy import Hard, Link, make_tree

pytestmark = [pytest.mark.real, pytest.mark.root]


def one(world: World, *names: str) -> bool:
    return len({world.at(name).stat().st_ino for name in names}) == 1


def test_links_are_placed_and_drift_in_one_keeps_them(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n", "etc/b": Hard("etc/a"), "usr/c": Hard("etc/a")})
    world.good()
    assert one(world, "etc/a", "etc/b", "usr/c")
    make_tree(world.root, {"etc/a": "drift\n"})  # a new inode
    world.good()
    assert world.read("etc/a") == "1\n"
    assert one(world, "etc/a", "etc/b", "usr/c")
    world.at("etc/b").unlink()
    world.good()
    assert one(world, "etc/a", "etc/b", "usr/c")
    world.at("etc/b").write_text("through all\n")
    world.good()
    assert world.read("usr/c") == "1\n"
    assert one(world, "etc/a", "etc/b", "usr/c")


def test_links_come_and_go_with_the_store(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n", "etc/b": "1\n"})
    world.good()
    assert not one(world, "etc/a", "etc/b")
    (world.overlay() / "etc/b").unlink()
    os.link(world.overlay() / "etc/a", world.overlay() / "etc/b")
    world.good()
    assert one(world, "etc/a", "etc/b")
    world.put({"etc/b": "2\n"})
    world.good()
    assert not one(world, "etc/a", "etc/b")
    assert (world.read("etc/a"), world.read("etc/b")) == ("1\n", "2\n")


def test_a_link_shared_with_a_file_that_is_not_ours_is_split(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n"}, root={"etc/a": "old\n", "etc/users": Hard("etc/a")})
    world.good()
    assert (world.read("etc/a"), world.read("etc/users")) == ("1\n", "old\n")
    world.at("etc/users").write_text("edited in place\n")
    world.take("etc/a")
    world.put({"etc/e": "e\n"})
    world.good()
    assert world.read("etc/a") == "old\n"  # the pristine copy is no link


def test_a_variant_never_joins_a_path_of_another_name(tmp_path: Path) -> None:
    world = World(
        tmp_path,
        {
            "etc/a##host.pc07": "1\n",
            "etc/b##host.pc07": Hard("etc/a##host.pc07"),
            "etc/c": Hard("etc/a##host.pc07"),
        },
    )
    world.good()
    assert not one(world, "etc/a", "etc/b")
    assert not one(world, "etc/a", "etc/c")


def test_linked_defaults_of_paths_with_variants(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n", "etc/b": Hard("etc/a")})
    world.put({"etc/a##host.other": "x\n", "etc/b##host.other": "y\n"})
    world.good()
    assert one(world, "etc/a", "etc/b")


def test_links_are_undone_together(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n", "etc/b": Hard("etc/a")})
    make_tree(world.root, {"etc/a": "old\n", "etc/b": Hard("etc/a")})
    world.good()
    world.pc.run("undo").ok()
    assert (world.read("etc/a"), world.read("etc/b")) == ("old\n", "old\n")
    assert one(world, "etc/a", "etc/b")
    world.pc.run("resume").ok()
    world.good()
    assert world.read("etc/b") == "1\n"


# Gives one of two links its place, and is killed.
LAYS_ONE = """
import os, signal
from allie.client.apply import placing
real = placing.Placer._take_its_place
def one(*args):
    real(*args)
    os.kill(os.getpid(), signal.SIGKILL)
placing.Placer._take_its_place = one
"""


def test_links_parted_by_a_kill_are_undone_together(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n", "etc/b": Hard("etc/a")})
    world.good()
    world.put({"etc/c": "c\n"})
    for name in ("etc/a", "etc/b"):
        (world.overlay() / name).unlink()
    world.put({"etc/a": "2\n", "etc/b": Hard("etc/a")})
    killed = world.pc.run("00overlay", env=injected(tmp_path / "fault", LAYS_ONE))
    assert killed.rc == -9
    assert (world.read("etc/a"), world.read("etc/b")) == ("2\n", "1\n")
    cut_short = world.state("tick").read_text().strip()
    staged = list(world.root.glob("var/lib/allie/stage-*/*"))
    assert any(world.at("etc/a").samefile(each) for each in staged)
    world.good()
    assert one(world, "etc/a", "etc/b")
    assert not list(world.root.glob("var/lib/allie/stage-*"))
    world.pc.run("undo", cut_short).ok()
    assert (world.read("etc/a"), world.read("etc/b")) == ("1\n", "1\n")
    assert one(world, "etc/a", "etc/b")
    assert not world.there("etc/c")


def test_linked_symlinks_and_links_across_overlays(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n"}, overlays="common, lab")
    (world.overlay("lab") / "etc").mkdir()
    os.link(world.overlay() / "etc/a", world.overlay("lab") / "etc/b")
    os.symlink("x", world.overlay() / "etc/l1")
    os.link(world.overlay() / "etc/l1", world.overlay() / "etc/l2", follow_symlinks=False)
    world.good()
    assert world.read("etc/b") == "1\n"
    assert os.readlink(world.at("etc/l2")) == "x"


A, B, C = "etc/a", "etc/b", "usr/c"
SHAPES: dict[str, dict[str, object]] = {
    "one": {A: "1\n"},
    "two files": {A: "1\n", B: "1\n"},
    "linked": {A: "1\n", B: Hard(A)},
    "all linked": {A: "1\n", B: Hard(A), C: Hard(A)},
    "others linked": {A: "1\n", B: "1\n", C: Hard(B)},
    "linked, changed": {A: "2\n", B: Hard(A)},
    "without the first": {B: "1\n", C: Hard(B)},
    "a link": {A: Link("b"), B: "1\n"},
}


@pytest.mark.parametrize("after", SHAPES)
@pytest.mark.parametrize("before", ["one", "linked", "others linked"])
def test_undo_leaves_what_stood_before_whatever_is_linked(
    tmp_path: Path, before: str, after: str
) -> None:
    """What a tick did not change it does not undo: a name that only got a second link stays."""
    world = World(tmp_path, {"etc/e": "e\n", **SHAPES[before]}, root={C: "before\n"})
    world.tick().ok()
    make_tree(world.root, {"root/done/50x": "done\n"})
    stood = plain(snapshot(world.root))
    for name in SHAPES[before]:
        (world.overlay() / name).unlink()
    world.put({"etc/new": "new\n", **SHAPES[after]})
    world.tick().ok()
    world.pc.run("undo").ok()
    assert differences(stood, plain(snapshot(world.root))) == []
