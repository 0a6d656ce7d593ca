"""`absent` and `once`.

docs/internals/rules.md, "Absent and once".
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.worlds.one_pc import World, plain, snapshot
from tests.worlds.toy import Dir, Entry, Fifo, File, Link, make_tree

pytestmark = [pytest.mark.real, pytest.mark.root]


@pytest.mark.parametrize("entry", ["text\n", Link("/nowhere"), Fifo(), File("x", size=10_000_000)])
def test_absent_removes_and_withdrawn_brings_back(tmp_path: Path, entry: Entry) -> None:
    world = World(tmp_path, {"etc/x##absent": "", "etc/e": "e\n"}, root={"etc/x": entry})
    before = plain(snapshot(world.root))["etc/x"]
    world.good()
    assert not world.there("etc/x")
    world.take("etc/x##absent")
    world.good()
    assert plain(snapshot(world.root))["etc/x"] == before


def test_absent_where_nothing_stands_and_what_comes_later(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/x##absent": "", "etc/e": "e\n"})
    world.good()
    make_tree(world.root, {"etc/x": "came later\n"})
    assert "drift: /etc/x" in world.good()
    assert not world.there("etc/x")
    saved = list(world.state("undo").glob("*/overact/files/etc/x"))
    assert [path.read_text() for path in saved] == ["came later\n"]


def test_a_whole_directory_made_absent_comes_back_whole(tmp_path: Path) -> None:
    tree: dict[str | bytes, Entry] = {
        "srv/d": Dir(0o750, owner=(5, 6)),
        "srv/d/a": File("1\n", 0o600, owner=(1000, 1000)),
        "srv/d/sub/new\nline": "2\n",
        "srv/d/sub/link": Link("../a"),
        "srv/d/empty": Dir(0o700),
    }
    world = World(tmp_path, {"srv/d##absent": "", "etc/e": "e\n"}, root=tree)
    before = plain(snapshot(world.root))
    world.good()
    assert not world.there("srv/d")
    world.pc.run("undo").ok()
    assert plain(snapshot(world.at("srv"), ())) == plain(
        {name[4:] or ".": each for name, each in before.items() if name.startswith("srv")}
    )
    world.pc.run("resume").ok()
    world.good()
    assert not world.there("srv/d")
    world.take("srv/d##absent")
    world.good()
    after = plain(snapshot(world.root))
    assert {name for name in before if before[name] != after.get(name)} == set()


@pytest.mark.parametrize("name", ["etc", "root", "var", "var/lib", "root/conf", "etc/allie"])
def test_what_allie_needs_cannot_be_made_absent(tmp_path: Path, name: str) -> None:
    world = World(tmp_path, {f"{name}##absent": "", "srv/e": "e\n"}, root={"root/conf": Dir()})
    before = snapshot(world.root)
    done = world.tick()
    assert done.rc == 1
    assert "cannot be made absent" in done.out
    after = snapshot(world.root)
    assert [each for each in before if each not in after] == []


def test_a_directory_over_100_mb_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path, {"srv/d##absent": "", "etc/e": "e\n"})
    make_tree(world.root, {"srv/d/big": File("", size=200 << 20)})
    done = world.tick()
    assert done.rc == 1
    assert "200 MiB" in done.out
    assert world.there("srv/d/big")


def test_once_is_placed_if_nothing_is_there(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/x##once": "1\n", "etc/y##once": "1\n"}, root={"etc/y": "own\n"})
    world.good()
    assert (world.read("etc/x"), world.read("etc/y")) == ("1\n", "own\n")
    world.at("etc/x").write_text("edited\n")
    assert "drift" not in world.good()
    assert world.read("etc/x") == "edited\n"
    world.at("etc/x").unlink()
    world.good()
    assert world.read("etc/x") == "1\n"


def test_once_is_placed_only_once_also_when_the_store_changes_it(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/x##once": "1\n"})
    world.good()
    world.put({"etc/x##once": "2\n"})
    world.good()
    assert world.read("etc/x") == "1\n"


def test_a_dangling_link_is_something(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/x##once": "1\n"}, root={"etc/x": Link("nowhere")})
    world.good()
    assert os.readlink(world.at("etc/x")) == "nowhere"


@pytest.mark.parametrize("edited", [True, False])
def test_once_withdrawn_goes_only_if_unedited(tmp_path: Path, edited: bool) -> None:
    world = World(tmp_path, {"etc/x##once": "1\n", "etc/y##once": "1\n", "etc/e": "e\n"})
    make_tree(world.root, {"etc/y": "own\n"})
    world.good()
    if edited:
        world.at("etc/x").write_text("edited\n")
    world.take("etc/x##once", "etc/y##once")
    world.good()
    assert world.there("etc/x") == edited
    assert world.read("etc/y") == "own\n"


def test_once_that_becomes_plain_saves_an_edit(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/x##once": "1\n", "etc/e": "e\n"})
    world.good()
    world.at("etc/x").write_text("edited\n")
    world.good()
    world.take("etc/x##once")
    world.put({"etc/x": "plain\n"})
    world.good()
    assert world.read("etc/x") == "plain\n"
    saved = [path.read_text() for path in world.state("undo").glob("*/*/files/etc/x")]
    assert saved == ["edited\n"]


@pytest.mark.parametrize("edited", [True, False])
def test_plain_that_becomes_once_and_is_withdrawn(tmp_path: Path, edited: bool) -> None:
    world = World(tmp_path, {"etc/x": "1\n", "etc/e": "e\n"})
    world.good()
    if edited:
        world.at("etc/x").write_text("edited\n")
    world.take("etc/x")
    world.put({"etc/x##once": "2\n"})
    world.good()
    assert world.read("etc/x") == ("edited\n" if edited else "1\n")
    world.take("etc/x##once")
    world.good()
    assert world.there("etc/x") == edited
