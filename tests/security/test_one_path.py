"""Whatever a user does with his own directory, all other paths come.

docs/internals/security.md, "One path's trouble".
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from allie.machine.files import tree
from tests.security import fuse
from tests.security.leases import lease
from tests.worlds.one_pc import World, mounted, tmpfs
from tests.worlds.toy import Dir, Fifo, File, make_tree

pytestmark = [pytest.mark.real, pytest.mark.root]

ANN = 4242
APP = "home/ann/.app"
ANNS = (ANN, ANN)


def placed(world: World) -> None:
    """The overlay's file is there already."""
    world.put({f"{APP}/conf": File("1\n", owner=ANNS), APP: Dir(owner=ANNS)})
    world.good()


@contextmanager
def fuse_above(world: World) -> Iterator[None]:
    """FUSE over the directory that the overlay's file is in."""
    placed(world)
    with fuse.silent(world.at(APP)):
        yield


@contextmanager
def fuse_on_the_file(world: World) -> Iterator[None]:
    """FUSE over the file itself."""
    placed(world)
    with fuse.silent(world.at(f"{APP}/conf")):
        yield


@contextmanager
def fuse_where_it_comes(world: World) -> Iterator[None]:
    """FUSE where the overlay is yet to bring something."""
    make_tree(world.root, {f"{APP}/new": Dir(owner=ANNS)})
    world.put({f"{APP}/new/conf": "1\n"})
    with fuse.silent(world.at(f"{APP}/new")):
        yield


@contextmanager
def huge(world: World) -> Iterator[None]:
    """A file of terabytes, nearly all of it a hole, where the overlay's is to come."""
    make_tree(world.root, {f"{APP}/conf": File("x", owner=ANNS)})
    os.truncate(world.at(f"{APP}/conf"), 15 << 40)
    world.put({f"{APP}/conf": File("1\n", owner=ANNS)})
    yield


@contextmanager
def huge_drift(world: World) -> Iterator[None]:
    """The overlay's own file, made large."""
    placed(world)
    with world.at(f"{APP}/conf").open("r+b") as file:
        for _ in range(220):
            file.write(os.urandom(1 << 20))
    yield


@contextmanager
def leased(world: World) -> Iterator[None]:
    """A write lease on the changed file: whoever opens it for reading waits, or is refused."""
    placed(world)
    world.at(f"{APP}/conf").write_text("2\n")
    with lease(world.at(f"{APP}/conf")):
        yield


@contextmanager
def fifo_for_a_directory(world: World) -> Iterator[None]:
    """A fifo in the place of the directory."""
    placed(world)
    world.at(APP).rename(world.at("home/ann/was"))
    make_tree(world.root, {APP: Fifo(0o666)})
    yield


@contextmanager
def deep(world: World) -> Iterator[None]:
    """What is to be absent is nested deeper than a path can be long."""
    world.put({f"{APP}/gone##absent": ""})
    code = "import os, sys\nos.chdir(sys.argv[1])\n"
    code += "for _ in range(1500): os.mkdir('x' * 200); os.chdir('x' * 200)"
    make_tree(world.root, {f"{APP}/gone": Dir(owner=ANNS)})
    subprocess.run([sys.executable, "-c", code, str(world.at(f"{APP}/gone"))], check=True)
    try:
        yield
    finally:
        tree.remove(str(world.at(f"{APP}/gone")))  # pytest cannot


@contextmanager
def deep_for_a_file(world: World) -> Iterator[None]:
    """The same where a file of the overlay's is to come."""
    with deep(world):
        world.put({f"{APP}/gone": "1\n"}, overlay="common")
        (world.overlay() / f"{APP}/gone##absent").unlink()
        yield


@contextmanager
def crowded(world: World) -> Iterator[None]:
    """What is to be absent has more names than anybody walks."""
    world.put({f"{APP}/gone##absent": ""})
    make_tree(world.root, {f"{APP}/gone/{n}": "" for n in range(25_000)})
    yield


@contextmanager
def large_attribute(world: World) -> Iterator[None]:
    """An attribute that his disk (xfs) holds, and the one of the originals (ext4) does not."""
    make_tree(world.root, {f"{APP}/conf": File("x", owner=ANNS, xattrs={"user.big": b"x" * 60000})})
    world.put({f"{APP}/conf": File("1\n", owner=ANNS)})
    yield


@contextmanager
def full(world: World) -> Iterator[None]:
    """His disk is full to the last byte, even root's."""
    placed(world)
    world.put({f"{APP}/conf": File("2" * 9000, owner=ANNS)})
    with world.at("home/ann/filler").open("wb") as file, ExitStack() as stack:
        stack.callback(world.at("home/ann/filler").unlink)
        try:
            while True:
                os.write(file.fileno(), bytes(1 << 16))
        except OSError:
            pass
        yield


@contextmanager
def immutable(world: World) -> Iterator[None]:
    """A directory that not even root may change."""
    placed(world)
    world.put({f"{APP}/conf": File("2\n", owner=ANNS)})
    subprocess.run(["chattr", "+i", world.at(APP)], check=True)
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", world.at(APP)], check=True)


NEEDS = {
    fuse_above: "fusermount",
    fuse_on_the_file: "fusermount",
    fuse_where_it_comes: "fusermount",
    large_attribute: "xfs",
    full: "tmpfs",
    immutable: "ext4",
}
TRICKS = [
    *NEEDS,
    huge,
    huge_drift,
    leased,
    fifo_for_a_directory,
    deep,
    deep_for_a_file,
    crowded,
]


@contextmanager
def home(top: Path, need: str) -> Iterator[None]:
    """His home, on the disk that the trick needs."""
    where = top / "pc/home"
    where.mkdir(parents=True)
    if need == "tmpfs":
        with tmpfs(where, "size=4m,mode=755"):
            yield
    elif need in ("xfs", "ext4"):
        image = top / "disk"
        with image.open("wb") as file:
            file.truncate(400 << 20)
        subprocess.run([f"mkfs.{need}", "-q", str(image)], check=True)
        with mounted(where, "-o", "loop", source=str(image)):
            yield
    else:
        yield


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: trick.__name__)
def test_all_other_paths_come(tmp_path: Path, trick: object) -> None:
    need = NEEDS.get(trick, "")  # type: ignore[call-overload]
    if need == "fusermount" and not (fuse.program() and os.path.exists("/dev/fuse")):
        pytest.skip("no fusermount, or no FUSE")
    with home(tmp_path, need):
        world = World(tmp_path, {"etc/motd": "1\n"}, root={"home/ann": Dir(owner=ANNS)})
        world.good()
        assert callable(trick)
        # It is named as long as it lasts; what can be put right is, in the first tick.
        mends = trick in (fifo_for_a_directory,)
        expected = {(0, True), (0, False)} if mends else {(1, True)}
        with trick(world):
            world.put({"etc/motd": "2\n", "etc/issue##host.pc07": "2\n"})
            before = time.process_time()
            for _ in range(2):
                done = world.tick()
                assert world.read("etc/motd") == "2\n", done.out
                assert world.read("etc/issue") == "2\n", done.out
                assert (done.rc, f"/{APP}" in done.out) in expected, done.out
            assert time.process_time() - before < 60
        for place in ("", "home", "home/ann", APP):
            if world.at(place).is_dir():
                assert not list(world.at(place).glob(".allie-*"))


def test_a_deep_tree_in_undo_goes_as_any(tmp_path: Path) -> None:
    """It was nested after we looked; undo has it as it was."""
    world = World(tmp_path, {"etc/motd": "1\n"})
    world.good()
    made = world.state("undo/1/overlay/files/x")
    make_tree(made, {"f": ""})
    code = "import os, sys\nos.chdir(sys.argv[1])\n"
    code += "for _ in range(1500): os.mkdir('x' * 200); os.chdir('x' * 200)"
    subprocess.run([sys.executable, "-c", code, str(made)], check=True)
    for number in range(12):
        world.put({"etc/motd": f"{number}\n"})
        world.tick().ok()
    assert not world.state("undo/1").exists()
