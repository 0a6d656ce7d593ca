"""What a user does between a kill and the next tick (docs/internals/security.md).

That tick sees to what the killed one left, before anything else.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import pytest

from allie.machine.files import tree
from allie.machine.roots.reach import Reach
from tests.security.leases import lease
from tests.worlds.one_pc import Paths, World, injected, leftovers, tmpfs
from tests.worlds.toy import Dir, File, make_tree

pytestmark = [pytest.mark.real, pytest.mark.root]

ANN = 4242
ANNS = (ANN, ANN)
APP = "home/ann/.app"
LARGE = 70 << 20  # more than is read of a user's file of which nobody knows how large it should be

KILLS = """
import os, signal
from allie.client.apply import placing, transaction
{what} = lambda *args, **more: os.kill(os.getpid(), signal.SIGKILL)
"""
PLACED, NOT_YET = "transaction.confirm", "placing.Placer._take_its_place"


def killed(world: World, folder: Path, where: str) -> None:
    """A tick that is killed at a function of the client's."""
    env = injected(folder / "fault", KILLS.format(what=where))
    assert world.pc.run("00overlay", env=env).rc == -9


def of_hers(content: str = "1\n", size: int | None = None) -> Paths:
    """An overlay with one file of the user's."""
    file = File(content, owner=ANNS, size=size)
    return {f"{APP}/conf": file, APP: Dir(owner=ANNS), "home/ann": Dir(owner=ANNS)}


@contextmanager
def hole(path: Path) -> Iterator[None]:
    """It is made a file of terabytes, which is read for hours."""
    os.truncate(path, 7 << 40)
    yield


@contextmanager
def many_links(path: Path) -> Iterator[None]:
    """The same, and what undo has is the same file."""
    kept = next(path.parents[3].glob("var/lib/allie/undo/*/overlay/files/home/ann/.app/conf"), None)
    if kept:
        os.truncate(kept, 7 << 40)
    os.truncate(path, 7 << 40)
    yield


@pytest.mark.parametrize("where", [PLACED, NOT_YET])
@pytest.mark.parametrize("was", ["nothing", "hers", "ours"])
@pytest.mark.parametrize("trick", [hole, many_links, lease])
def test_the_next_tick_places_the_rest(tmp_path: Path, trick: object, was: str, where: str) -> None:
    world = World(tmp_path, {"etc/motd": "1\n"}, root={"home/ann": Dir(owner=ANNS)})
    world.good()
    if was == "hers":
        make_tree(world.root, {f"{APP}/conf": File("hers\n", owner=ANNS)})
    if was == "ours":
        world.put(of_hers("0\n"))
        world.good()
    world.put({"etc/motd": "2\n", **of_hers()})
    killed(world, tmp_path, where)
    make_tree(world.root, {APP: Dir(owner=ANNS)})
    if not world.there(f"{APP}/conf"):
        make_tree(world.root, {f"{APP}/conf": File("hers\n", owner=ANNS)})
    world.put({"etc/motd": "3\n"})
    assert callable(trick)
    with trick(world.at(f"{APP}/conf")):
        done = world.pc.run("00overlay", timeout=60)
        assert world.read("etc/motd") == "3\n", done
        assert "Traceback" not in done.err, done
        if trick is not lease:  # what undo has is that very file
            world.pc.run("undo", timeout=60)
            assert world.read("etc/motd") == ("2\n" if where == PLACED else "1\n")


def test_nothing_goes_through_a_link_in_undo(tmp_path: Path) -> None:
    """Undo has users' trees as they were, links and all."""
    world = World(tmp_path, {"etc/motd": "1\n"}, root={f"{APP}/conf": "was\n"})
    world.put({f"{APP}/conf": "1\n"})
    killed(world, tmp_path, NOT_YET)
    make_tree(world.root, {"srv/app/conf": "root's\n"})
    kept = next(world.state("undo").glob("*/overlay/files"))
    make_tree(kept, {"home/ann/x": ""})
    (kept / APP).symlink_to(world.at("srv/app"))
    world.tick()
    assert world.read("srv/app/conf") == "root's\n"


@pytest.mark.parametrize("where", [PLACED, NOT_YET])
@pytest.mark.parametrize("path", ["etc/large", f"{APP}/conf"])
def test_what_is_large_is_known_again(tmp_path: Path, path: str, where: str) -> None:
    owner = ANNS if path.startswith("home") else (0, 0)
    world = World(tmp_path, {"etc/motd": "1\n", **of_hers()})
    world.put({path: File("1", owner=owner, size=LARGE)})
    killed(world, tmp_path, where)
    world.tick().ok()
    inode = world.at(path).stat().st_ino
    world.steady()
    world.put({path: File("2", owner=owner, size=LARGE + 1)})
    killed(world, tmp_path, where)
    if where == PLACED:
        inode = world.at(path).stat().st_ino
    world.good()
    assert where == NOT_YET or world.at(path).stat().st_ino == inode, "it was not placed twice"
    world.pc.run("undo", timeout=60).ok()
    assert world.at(path).stat().st_size == LARGE
    assert leftovers(world.root) == []


def test_a_file_that_grows_while_it_is_read(tmp_path: Path) -> None:
    for size in (0, 10, 1 << 20, 3 << 20):
        path = tmp_path / str(size)
        path.write_bytes(b"x" * size)
        st = path.stat()
        content = tree.content_digest(str(path), st)
        os.truncate(path, 5 << 40)
        assert tree.content_digest(str(path), st) != content


@pytest.mark.parametrize("levels", [1, 50, 1200])
def test_taint_is_known_at_any_depth(tmp_path: Path, levels: int) -> None:
    real = "/".join("a" * levels)
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("a", dir_fd=here)
        here, above = os.open("a", os.O_RDONLY, dir_fd=here), here
        os.close(above)
    os.close(here)
    try:
        with Reach(str(tmp_path)) as reach:
            assert not reach.is_tainted(real)
            reach.close()
            os.chown(tmp_path / "a", ANN, ANN)
            assert reach.is_tainted(real)
            assert not reach.is_tainted("")
    finally:
        tree.remove(str(tmp_path / "a"))  # pytest cannot


# What the user gives the name of the stage that the kill left
ROOTS: dict[str, Paths] = {
    "numbered": {"2024/jan/file": "root's\n", "1": "root's\n", "2/3": "root's\n"},
    "files": {"1": "root's\n", "2": "root's\n"},
    "deep": {"1/1/1/1/file": "root's\n"},
}


@pytest.mark.parametrize("kind", ROOTS)
@pytest.mark.parametrize("stage", ["moved", "removed", "there"])
def test_only_the_very_stage_is_emptied(tmp_path: Path, kind: str, stage: str) -> None:
    with tmpfs(tmp_path / "pc/home/ann", f"size=4m,mode=755,uid={ANN},gid={ANN}"):
        world = World(tmp_path, {"etc/motd": "1\n", f"{APP}/conf": "1\n"})
        make_tree(world.at("home/ann/roots"), ROOTS[kind])
        killed(world, tmp_path, NOT_YET)
        left = next(world.at("home/ann").rglob(".allie-*"))
        assert left.parent == world.at("home/ann"), "at the top of its disk"
        place = world.at("home/ann/roots")
        if stage == "moved":
            left.rename(world.at("home/ann/was"))
        elif stage == "removed":
            tree.remove(str(left))
        if stage != "there":
            place = place.rename(left)
        world.tick().ok()
        for name in ROOTS[kind]:
            assert (place / name).read_text() == "root's\n"
        assert left.exists() == (stage != "there")
        assert not list(world.root.glob("var/lib/allie/stage-*"))


@pytest.mark.parametrize("disk", ["the state's", "hers", "root's"])
def test_what_a_killed_tick_was_making_goes(tmp_path: Path, disk: str) -> None:
    """Wherever it made it: directories with their owners, too."""
    where: dict[str, AbstractContextManager[object]] = {
        "hers": tmpfs(tmp_path / "pc/home/ann", f"size=4m,mode=755,uid={ANN},gid={ANN}"),
        "root's": tmpfs(tmp_path / "pc/home", "size=4m,mode=755"),
        "the state's": nullcontext(),
    }
    with where[disk]:
        world = World(tmp_path, {"etc/motd": "1\n"}, root={"home/ann": Dir(owner=ANNS)})
        world.good()
        world.put({f"{APP}/sub/{n}": File(str(n), owner=ANNS) for n in range(3)})
        world.put({f"{APP}/sub": Dir(owner=ANNS), APP: Dir(owner=ANNS), "etc/motd": "2\n"})
        killed(world, tmp_path, NOT_YET)
        world.good()
        assert leftovers(world.root) == []
        assert world.read(f"{APP}/sub/2") == "2"
