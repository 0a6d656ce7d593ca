"""A PC whose root is on another kind of file system: all that a tick does is done there, too.

Frozen PCs and live media (overlayfs), diskless nodes (tmpfs, ramfs, NFS, FUSE without attributes).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.worlds.one_pc import World, mounted
from tests.worlds.toy import Dir, File, Hard, Tree, toy_root

pytestmark = [pytest.mark.real, pytest.mark.root]
TREE: Tree = {
    "etc/one": File("1\n", 0o640, owner=(5, 6)),
    "etc/twin": Hard("etc/one"),
    "etc/noted": File("n\n", xattrs={"user.note": b"n", "trusted.mine": b"1"}),
    "etc/d": Dir(0o750),
    "etc/d/e/f": "f\n",
}
ROOT: Tree = {"etc/one": "before\n", "etc/old/sub/f": "f\n", "etc/old/g": Hard("etc/old/sub/f")}
Place = Callable[[Path], AbstractContextManager[object]]


def _of_kind(kind: str) -> Place:
    return lambda root: mounted(root, "-t", kind, source=kind)


@contextmanager
def _without_attributes(root: Path) -> Iterator[None]:
    disk = root.with_name("disk")
    for each in (disk, root):
        each.mkdir()
    subprocess.run(["bindfs", "--xattr-none", "-o", "attr_timeout=0", disk, root], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", root], check=True)


@contextmanager
def frozen(lower: Path, root: Path, *options: str) -> Iterator[None]:
    """A root whose changes are in memory, above what is on the disk."""
    with mounted(root.with_name("memory"), "-t", "tmpfs") as memory:
        for name in ("upper", "work"):
            (memory / name).mkdir()
        layers = f"lowerdir={lower},upperdir={memory}/upper,workdir={memory}/work"
        with mounted(root, "-t", "overlay", "-o", ",".join([layers, *options]), source="overlay"):
            yield


def _attributes(world: World) -> None:
    """Give a file of the overlay an ACL that grants its own group less than its mode shows."""
    path = world.overlay() / "etc/shared"
    path.write_text("s\n")
    subprocess.run(["setfacl", "-m", "u:1000:rw,g::r,m::rw,o::-", path], check=True)
    assert path.stat().st_mode & 0o777 == 0o660


PLACES = {
    "tmpfs": _of_kind("tmpfs"),
    "ramfs": _of_kind("ramfs"),
    "without attributes": _without_attributes,
}


def _play(world: World) -> None:
    """What comes, changes, changes its name and its kind, is made absent, undone and withdrawn."""
    world.put({"etc/one": "22\n", "etc/new/name": "n\n"})
    world.take("etc/d/e/f")
    world.put({"etc/d/e": "a file now\n"})
    world.good()
    assert world.read("etc/one") == "22\n"
    assert world.read("etc/d/e") == "a file now\n"
    world.put({"etc/old##absent": ""})
    world.good()
    assert not world.there("etc/old")
    world.pc.run("undo").ok()
    assert world.read("etc/old/sub/f") == "f\n"
    world.pc.run("resume").ok()
    world.good()
    assert not world.there("etc/old")
    world.take("etc/old##absent", "etc/one", "etc/twin")
    world.good()
    assert world.read("etc/old/sub/f") == "f\n"
    assert world.read("etc/one") == "before\n"


@pytest.mark.parametrize("kind", PLACES)
def test_all_of_a_tick_is_done(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "pc"
    with PLACES[kind](root):
        world = World(tmp_path, TREE, made=toy_root(root, ROOT))
        _attributes(world)
        world.good()
        assert world.read("etc/shared") == "s\n"
        assert world.at("etc/shared").stat().st_mode & 0o007 == 0
        _play(world)
        world.state("tick").write_text("167\n")  # the next one compares all by content
        assert world.good() == ""


@pytest.mark.parametrize("options", [(), ("redirect_dir=off", "index=off", "xino=off")])
def test_all_of_a_tick_is_done_above_a_disk_that_follows_a_store(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    disk, root = toy_root(tmp_path / "disk", ROOT), tmp_path / "pc"
    before = World(tmp_path, TREE, made=disk)
    _attributes(before)
    before.good()
    (disk / "var/lib/allie/mirror/9.part").mkdir()  # of a tick that was killed
    (disk / "var/lib/allie/mirror/9.part/common").mkdir()
    with frozen(disk, root, *options):
        world = World(tmp_path, made=root)
        assert world.good() == ""
        _play(world)
    assert (disk / "etc/one").read_text() == "1\n"


def test_a_change_that_was_ready_on_the_disk_is_brought_in(tmp_path: Path) -> None:
    """The tick before the freeze was killed between fetching and bringing in."""
    disk, root = toy_root(tmp_path / "disk"), tmp_path / "pc"
    before = World(tmp_path, {"etc/a": "1\n", "etc/b": "1\n"}, made=disk)
    before.good()
    mirror = Path(disk, "var/lib/allie/mirror")
    number = int(os.readlink(mirror / "current"))
    ready = mirror / f"{number + 1}.ready"
    (ready / "common/etc").mkdir(parents=True)
    (ready / "common/etc/a").write_text("22\n")
    before.put({"etc/a": "22\n"})
    with frozen(disk, root):
        world = World(tmp_path, made=root)
        world.good()
        assert world.read("etc/a") == "22\n"
        world.put({"etc/b": "22\n"})
        world.good()
        assert world.read("etc/b") == "22\n"
