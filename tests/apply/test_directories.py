"""Directories that ALLiE made follow the overlay; the others keep what they have.

docs/internals/rules.md, "Directories that we made, and others".
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.worlds.one_pc import World, thing
from tests.worlds.toy import Dir, make_tree

pytestmark = [pytest.mark.real, pytest.mark.root]


def test_a_directory_of_ours_follows_a_later_change_in_the_store(tmp_path: Path) -> None:
    world = World(tmp_path, {"srv/d": Dir(0o755), "srv/d/f": "1\n"})
    world.good()
    (world.overlay() / "srv/d").chmod(0o2770)
    os.chown(world.overlay() / "srv/d", 0, 6)
    world.good()
    st = world.at("srv/d").stat()
    assert (stat.S_IMODE(st.st_mode), st.st_gid) == (0o2770, 6)
    subprocess.run(["setfacl", "-m", "d:u:1000:rwx", str(world.overlay() / "srv/d")], check=True)
    world.put({"srv/d/g": "2\n"})
    world.good()
    assert thing(str(world.at("srv/d"))).xattrs == thing(str(world.overlay() / "srv/d")).xattrs
    assert thing(str(world.at("srv/d/f"))).xattrs == ()


def test_a_directory_of_ours_that_drifts_is_put_right(tmp_path: Path) -> None:
    world = World(tmp_path, {"srv/d": Dir(0o750), "srv/d/f": "1\n"})
    world.good()
    world.at("srv/d").chmod(0o777)
    assert "drift: /srv/d" in world.good()
    assert stat.S_IMODE(world.at("srv/d").stat().st_mode) == 0o750
    world.at("srv/d/f").unlink()
    world.at("srv/d").rmdir()
    assert "missing: /srv/d" in world.good()
    assert stat.S_IMODE(world.at("srv/d").stat().st_mode) == 0o750


def test_a_directory_that_we_did_not_make_keeps_mode_owner_and_acl(tmp_path: Path) -> None:
    world = World(tmp_path, {"srv/d": Dir(0o777), "srv/d/f": "1\n"})
    make_tree(world.root, {"srv/d": Dir(0o700, owner=(5, 6))})
    subprocess.run(["setfacl", "-m", "u:1000:rx", str(world.at("srv/d"))], check=True)
    before = thing(str(world.at("srv/d")))
    world.good()
    world.put({"srv/d/f": "2\n"})
    (world.overlay() / "srv/d").chmod(0o711)
    world.good()
    after = thing(str(world.at("srv/d")))
    assert (after.mode, after.owner, after.xattrs) == (before.mode, before.owner, before.xattrs)


def test_undo_of_a_directory_and_of_its_withdrawal(tmp_path: Path) -> None:
    world = World(tmp_path, {"srv/d": Dir(0o750, owner=(5, 6)), "srv/d/f": "1\n", "etc/e": "e\n"})
    world.good()
    world.take("srv/d/f")
    world.good()
    assert not world.there("srv/d")
    world.pc.run("undo").ok()
    st = world.at("srv/d").stat()
    assert (stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid) == (0o750, 5, 6)
    assert world.read("srv/d/f") == "1\n"
    world.pc.run("resume").ok()
    world.good()
    assert not world.there("srv/d")


def test_undo_of_a_mode(tmp_path: Path) -> None:
    world = World(tmp_path, {"srv/d": Dir(0o750), "srv/d/f": "1\n"})
    world.good()
    (world.overlay() / "srv/d").chmod(0o700)
    world.good()
    world.pc.run("undo").ok()
    assert stat.S_IMODE(world.at("srv/d").stat().st_mode) == 0o750


def test_an_empty_directory_is_placed_and_withdrawn(tmp_path: Path) -> None:
    world = World(tmp_path, {"srv/empty": Dir(0o1777), "etc/e": "e\n"})
    world.good()
    assert stat.S_IMODE(world.at("srv/empty").stat().st_mode) == 0o1777
    (world.overlay() / "srv/empty").rmdir()
    world.good()
    assert not world.there("srv/empty")


def test_a_tagged_directory_is_merged_with_the_plain_one(tmp_path: Path) -> None:
    world = World(tmp_path, {"srv/d/a": "1\n", "srv/d##host.pc07": Dir(0o700)})
    world.put({"srv/d##host.pc07/b": "2\n", "srv/d##host.other/c": "3\n"})
    world.good()
    assert (world.read("srv/d/a"), world.read("srv/d/b")) == ("1\n", "2\n")
    assert not world.there("srv/d/c")
    assert stat.S_IMODE(world.at("srv/d").stat().st_mode) == 0o700


@pytest.mark.parametrize("tree", [
    {"etc/n.d/f##host.pc07": "v\n"},
    {"etc/n.d/sub/f##host.pc07": "v\n", "etc/n.d/plain": "p\n"},
    {"etc/n.d/a/f##host.pc07": "v\n", "etc/n.d/b/g##host.pc07": "w\n"},
    {"etc/n.d/f##once,host.pc07": "v\n"},
])  # fmt: skip
def test_a_directory_that_held_variants_goes_with_them(
    tmp_path: Path, tree: dict[str, str]
) -> None:
    world = World(tmp_path, {"etc/e": "e\n", **tree})
    world.good()
    assert world.at("etc/n.d").is_dir()
    shutil.rmtree(world.overlay() / "etc/n.d")
    assert "withdrawn: /etc/n.d" in world.good()
    assert not world.there("etc/n.d")
    world.pc.run("undo").ok()
    assert world.at("etc/n.d").is_dir()


@pytest.mark.parametrize("kind", ["plain", "##absent"])
def test_what_stood_in_a_directory_that_is_gone_comes_back_no_more(
    tmp_path: Path, kind: str
) -> None:
    """As with a package that was purged meanwhile; it is no trouble of every tick to come."""
    name = "etc/app/conf" + kind.strip("plain")
    world = World(tmp_path, {name: "1\n", "etc/e": "e\n"}, root={"etc/app/conf": "before\n"})
    world.good()
    shutil.rmtree(world.at("etc/app"))
    world.take(name)
    assert "left: the directory in which it stood is gone: /etc/app/conf" in world.good()
    assert not world.there("etc/app")
