"""Type changes; a directory makes way only if all in it is ours, a mount never.

docs/internals/rules.md, "A directory makes way only if all in it is ours".
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.worlds.one_pc import World, plain, snapshot, tmpfs
from tests.worlds.toy import Device, Dir, Entry, Fifo, Link, make_tree

pytestmark = [pytest.mark.real, pytest.mark.root]

KINDS: dict[str, Entry] = {
    "file": "text\n",
    "other file": "other text\n",
    "link": Link("motd"),
    "link to a directory": Link("/var"),
    "pipe": Fifo(0o600),
    "device": Device(1, 3, stat.S_IFCHR | 0o666),
}


def test_every_kind_follows_every_other_and_pristine_comes_back(tmp_path: Path) -> None:
    pairs = {f"etc/{one} to {other}": (one, other) for one in KINDS for other in KINDS}
    world = World(tmp_path, {name: KINDS[after] for name, (_, after) in pairs.items()})
    world.put({".allie-withdraw": "", "etc/stays": "s\n"})
    make_tree(world.root, {name: KINDS[before] for name, (before, _) in pairs.items()})
    first = plain(snapshot(world.root))
    world.good()
    wanted, placed = plain(snapshot(world.overlay())), plain(snapshot(world.root))
    assert {name: placed[name] for name in pairs} == {name: wanted[name] for name in pairs}
    world.take(*pairs)
    world.good()
    back = plain(snapshot(world.root))
    assert {name: back[name] for name in pairs} == {name: first[name] for name in pairs}


def test_a_directory_of_ours_becomes_a_file_and_a_directory_again(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/d/a": "1\n", "etc/d/sub/b": "2\n", "etc/e": "e\n"})
    world.good()
    world.take("etc/d/a", "etc/d/sub/b")
    world.put({"etc/d": "a file now\n"})
    world.good()
    assert world.read("etc/d") == "a file now\n"
    world.take("etc/d")
    world.put({"etc/d/a": "1\n"})
    world.good()
    assert world.read("etc/d/a") == "1\n"
    world.take("etc/d/a")
    world.good()
    assert not world.there("etc/d")


@pytest.mark.parametrize("entry", ["file\n", Link("motd")])
def test_a_directory_with_files_that_are_not_ours_stays(tmp_path: Path, entry: Entry) -> None:
    world = World(tmp_path, {"etc/d": entry, "etc/e": "e\n"}, root={"etc/d/users": "u\n"})
    done = world.tick()
    assert done.rc == 1
    assert "users" in done.out
    assert world.read("etc/d/users") == "u\n"
    assert world.read("etc/e") == "e\n"
    world.steady(rc=1)
    world.at("etc/d/users").unlink()
    world.good()
    assert not world.at("etc/d").is_dir()


def test_a_directory_of_ours_with_a_users_file_in_it_stays_whole(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/d/a": "1\n", "etc/e": "e\n"})
    world.good()
    make_tree(world.root, {"etc/d/mine": "m\n"})
    world.take("etc/d/a")
    world.put({"etc/d": "file\n"})
    done = world.tick()
    assert done.rc == 1
    assert "mine" in done.out
    assert world.read("etc/d/mine") == "m\n"
    world.steady(rc=1)


@pytest.mark.parametrize("where", ["etc/d", "etc/d/sub/mnt"])
@pytest.mark.parametrize("name", ["etc/d", "etc/d##absent"])
def test_a_mount_point_is_never_emptied(tmp_path: Path, where: str, name: str) -> None:
    world = World(tmp_path, {name: "f\n", "etc/e": "e\n"}, root={"etc/d/sub": Dir()})
    with tmpfs(world.at(where), "size=1m") as mount:
        (mount / "data").write_text("precious\n")
        done = world.tick()
        assert done.rc == 1
        assert "is a mount point" in done.out
        assert (mount / "data").read_text() == "precious\n"
        assert not list(world.state("undo").glob("*/*/files/**/data"))
        world.steady(rc=1)


def test_a_file_becomes_a_directory_and_comes_back(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/d/a": "1\n", "etc/e": "e\n"}, root={"etc/d": "was a file\n"})
    world.good()
    assert world.read("etc/d/a") == "1\n"
    world.take("etc/d/a")
    world.good()
    assert world.read("etc/d") == "was a file\n"


def test_that_file_does_not_come_back_over_a_users_file(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/d/a": "1\n", "etc/e": "e\n"}, root={"etc/d": "was a file\n"})
    world.good()
    make_tree(world.root, {"etc/d/mine": "m\n"})
    world.take("etc/d/a")
    world.tick()
    assert world.read("etc/d/mine") == "m\n"
    kept = [*world.state("pristine").iterdir(), *world.state("undo").glob("*/*/pristine/*")]
    assert "was a file\n" in [path.read_text() for path in kept if path.is_file()]
    world.steady()


def test_a_directory_for_a_variant_of_a_file(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/d": "f\n", "etc/e": "e\n"}, overlays="common, lab")
    world.good()
    world.put({"etc/d/a": "1\n"}, "lab")
    world.good()
    assert world.read("etc/d/a") == "1\n"
    world.take("etc/d/a", overlay="lab")
    world.put({"etc/f": "f\n"}, "lab")
    world.good()
    assert world.read("etc/d") == "f\n"


def test_a_user_who_makes_a_directory_of_our_file_keeps_it(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/x": "1\n", "etc/e": "e\n"})
    world.good()
    world.at("etc/x").unlink()
    make_tree(world.root, {"etc/x/mine": "m\n"})
    done = world.tick()
    assert done.rc == 1
    assert world.read("etc/x/mine") == "m\n"
    world.take("etc/x")
    world.good()
    assert world.read("etc/x/mine") == "m\n"
    assert os.path.isdir(world.at("etc/x"))
