"""A symlink gives way to a directory, a directory to a symlink, and back.

What lies behind the link is never touched for what is to come in its place, whoever's it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worlds.one_pc import World, injected, plain, snapshot
from tests.worlds.toy import Dir, File, Hard, Link, Tree

pytestmark = [pytest.mark.real, pytest.mark.root]

# As a package's, from which the overlay's was copied: nothing but the inode tells them apart.
SAME = File("same\n", 0o644, mtime=1_000_000_000)
SHAPES: dict[str, Tree] = {
    "nothing": {},
    "a link": {"etc/l": Link("own")},
    "another link": {"etc/l": Link("ours")},
    "a directory": {"etc/l/f": SAME, "etc/l/more/f": SAME},
    "a hard link in one": {"etc/l/f": Hard("etc/ours/f")},
    "a file": {"etc/l": "a file\n"},
}
BEFORE: dict[str, Tree] = {
    "nothing": {},
    "a link of the PC's": {"etc/l": Link("own")},
    "a file of the PC's": {"etc/l": "the PC's\n"},
}


def walk() -> Iterator[str]:
    """From every shape to every other one, and back."""
    names = list(SHAPES)
    for at, one in enumerate(names):
        yield one
        for other in names[at + 1 :]:
            yield other
            yield one
    yield "nothing"


@pytest.mark.parametrize("before", BEFORE)
def test_every_change_leaves_what_is_behind_the_link(tmp_path: Path, before: str) -> None:
    own: Tree = {"etc/own/f": SAME, "etc/own/more/f": SAME}
    world = World(tmp_path, {"etc/ours/f": SAME, "etc/e": "e\n"}, root={**own, **BEFORE[before]})
    world.tick().ok()
    stood = plain(snapshot(world.root))
    for name in walk():
        shutil.rmtree(world.overlay() / "etc")
        world.put({"etc/ours/f": SAME, "etc/e": "e\n", **SHAPES[name]})
        world.tick().ok()
        now = plain(snapshot(world.root))
        changed = {each for each in {*stood, *now} if stood.get(each) != now.get(each)}
        assert {each for each in changed if not f"{each}/".startswith("etc/l/")} == set(), name
        if name == "nothing":
            assert not changed
        else:
            _is_there(world, SHAPES[name], own_link="a link of" in before)
    world.steady()


def _is_there(world: World, shape: Tree, *, own_link: bool) -> None:
    """What the overlays want stands; below a link that is the PC's own it stands behind it."""
    for name, wanted in shape.items():
        path = world.at(os.fsdecode(name))
        if isinstance(wanted, Link):
            assert os.readlink(path) == wanted.target
        else:
            assert path.read_text() == ("a file\n" if name == "etc/l" else "same\n")
            assert own_link or not world.at("etc/l").is_symlink()


REPLACED: dict[str, list[str]] = {
    "moved": ["mv etc/d etc/moved", "ln -s moved etc/d"],
    "another's": ["mkdir etc/own", "cp -a etc/d/f etc/own/f", "rm -r etc/d", "ln -s own etc/d"],
    "another's, empty": ["mkdir etc/own", "rm -r etc/d", "ln -s own etc/d"],
    "ours of another name": ["rm -r etc/d", "ln -s ours etc/d"],
}


@pytest.mark.parametrize("wanted", [False, True])
@pytest.mark.parametrize("how", REPLACED)
def test_a_directory_of_ours_that_root_made_a_link(tmp_path: Path, how: str, wanted: bool) -> None:
    """Ours goes with the overlay where it was moved; what was there already is never withdrawn."""
    tree: Tree = {"etc/d/f": SAME, "etc/ours/f": SAME, "etc/e": "e\n"}
    world = World(tmp_path, tree, root={"etc/ours/f": "before\n"})
    world.tick().ok()
    for command in REPLACED[how]:
        subprocess.run(command.split(), cwd=world.root, check=True)
    if wanted:
        world.tick()
    if how == "another's, empty" and wanted:
        assert world.read("etc/own/f") == "same\n"
    world.take("etc/d/f")
    world.tick().ok()
    world.tick().ok()
    assert os.readlink(world.at("etc/d")) == REPLACED[how][-1].split()[2]
    assert world.there("etc/moved/f") is False
    assert world.there("etc/own/f") == (how == "another's")
    assert world.read("etc/ours/f") == "same\n"
    world.take("etc/ours/f")
    world.good()
    assert world.read("etc/ours/f") == "before\n"


def test_a_link_that_gives_way_comes_back_with_undo(tmp_path: Path) -> None:
    """All in one tick: the directory and what is in it, and the hard links to it elsewhere."""
    tree: Tree = {"etc/a/f": "1\n", "etc/b": Hard("etc/a/f"), "etc/l": Link("a")}
    world = World(tmp_path, tree)
    world.good()
    stood = plain(snapshot(world.root))
    (world.overlay() / "etc/l").unlink()
    (world.overlay() / "etc/l").mkdir()
    os.link(world.overlay() / "etc/a/f", world.overlay() / "etc/l/f")
    world.good()
    assert world.at("etc/l/f").samefile(world.at("etc/b"))
    world.pc.run("undo").ok()
    assert plain(snapshot(world.root)) == stood


def test_what_came_while_a_tick_worked_comes_back_with_undo(tmp_path: Path) -> None:
    """Nothing stood there when the tick looked; it was kept all the same, and undo finds it."""
    world = World(tmp_path, {"etc/a": "1\n"})
    code = f"""
from allie.client.apply import placing
real = placing.Placer._take_its_place
def one(*args):
    open({str(world.at("etc/a"))!r}, "w").write("mine\\n")
    real(*args)
placing.Placer._take_its_place = one
"""
    world.pc.run("00overlay", env=injected(tmp_path / "fault", code)).ok()
    assert world.read("etc/a") == "1\n"
    world.pc.run("undo").ok()
    assert world.read("etc/a") == "mine\n"


def test_a_closed_directory_comes_in_place_of_a_link_in_a_users_home(tmp_path: Path) -> None:
    home: Tree = {"home/ann": Dir(0o755, owner=(1000, 1000)), "home/ann/b": Dir(0o755)}
    world = World(tmp_path, {"home/ann/l": Link("b"), "etc/e": "e\n"}, root=home)
    world.good()
    (world.overlay() / "home/ann/l").unlink()
    world.put({"home/ann/l/a/b": Dir(0o700), "home/ann/l/a/b/f": "secret\n"})
    world.good()
    assert world.read("home/ann/l/a/b/f") == "secret\n"
    assert not any(world.at("home/ann/b").iterdir())
