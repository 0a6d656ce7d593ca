"""Nothing gets an owner or a mode by its name (docs/internals/security.md, "Owner and mode").

A user who owns the directory swaps what is made there, at the very moment that is worst.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.worlds.one_pc import World, injected, leftovers, tmpfs
from tests.worlds.toy import Dir, Fifo, File, Link, Tree, make_tree

pytestmark = [pytest.mark.real, pytest.mark.root]

ANN = 4242
TREE: Tree = {
    "home/ann/d/tool": File("#!/bin/sh\n", 0o4755, owner=(0, 0)),
    "home/ann/d/conf": File("1\n", owner=(ANN, ANN)),
    "home/ann/d/link": Link("/usr/bin/tool"),
    "home/ann/d/sub/secret": File("secret\n", 0o644, owner=(0, 0)),
    "home/ann/d/sub": Dir(0o700, owner=(0, 0)),
    "home/ann/d": Dir(owner=(ANN, ANN)),
    "home/ann": Dir(owner=(ANN, ANN)),
    "etc/motd": "1\n",
}
# What the user has ready to put there, and what each is
READY: Tree = {
    "file": File("#!/bin/sh\nid\n", 0o755, owner=(ANN, ANN)),
    "directory/own": File("ann's\n", owner=(ANN, ANN)),
    "directory": Dir(owner=(ANN, ANN)),
    "roots/secret": File("root's\n", 0o644),
    "roots": Dir(0o700),
    "link": Link("/etc/roots"),
    "fifo": Fifo(0o666),
}
KINDS = ["file", "directory", "roots", "link", "fifo"]

# After one thing has come to its place, the user puts another there.
SWAPS = """
import os
from allie.client.apply import placing
real = placing.Placer._rename
def rename(placer, path):
    real(placer, path)
    if path == {path!r}:
        os.rename({root!r} + "/" + path, {root!r} + "/home/ann/taken")
        os.rename({root!r} + "/home/ann/ready/{kind}", {root!r} + "/" + path)
placing.Placer._rename = rename
"""
# The same where a directory is made, before it is opened.
SWAPS_STAGE = """
import os
real = os.mkdir
def mkdir(path, *args, dir_fd=None, **more):
    real(path, *args, dir_fd=dir_fd, **more)
    if str(path).startswith(".allie-"):
        os.mkdir = real
        where = os.readlink(f"/proc/self/fd/{{dir_fd}}")
        os.rename(where + "/" + path, {root!r} + "/home/ann/taken")
        os.rename({root!r} + "/home/ann/ready/{kind}", where + "/" + path)
os.mkdir = mkdir
"""


def world_of(tmp_path: Path) -> World:
    """A PC that has just /etc/motd, and whose user is prepared."""
    world = World(tmp_path, {"etc/motd": "0\n"}, root={"home/ann": Dir(owner=(ANN, ANN))})
    world.good()
    make_tree(world.root, {f"home/ann/ready/{path!s}": each for path, each in READY.items()})
    make_tree(world.root, {"etc/roots": Dir(0o700), "home/ann/ready": Dir(owner=(ANN, ANN))})
    world.put(TREE)
    return world


def what(path: Path) -> tuple[int, int, int]:
    """Kind and mode, owner, inode: of a link itself."""
    st = path.lstat()
    return st.st_mode, st.st_uid, st.st_ino


@pytest.mark.parametrize("path", ["tool", "conf", "link", "sub"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_swapped_in_is_given_nothing(tmp_path: Path, path: str, kind: str) -> None:
    world = world_of(tmp_path)
    before = what(world.at(f"home/ann/ready/{kind}"))
    inside = what(world.at("etc/roots"))
    target = f"home/ann/d/{path}"
    code = SWAPS.format(root=str(world.root), path=target, kind=kind)
    done = world.pc.run("00overlay", env=injected(tmp_path / "fault", code))
    assert done.rc == 1, done
    assert f"/{target}" in done.out + done.err
    assert what(world.at(target)) == before
    assert what(world.at("etc/roots")) == inside
    assert os.listdir(world.at("etc/roots")) == []
    assert world.read("etc/motd") == "1\n"
    taken = world.at("home/ann/taken").lstat()
    wanted = (world.overlay() / target).lstat()
    assert (taken.st_mode, taken.st_uid) == (wanted.st_mode, wanted.st_uid), "it was whole"
    assert leftovers(world.root) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_stage_that_is_swapped_is_not_used(tmp_path: Path, kind: str) -> None:
    """The user's home is a disk of its own, all of it his: things must be made in it."""
    with tmpfs(tmp_path / "pc/home/ann", f"size=4m,mode=755,uid={ANN},gid={ANN}"):
        world = world_of(tmp_path)
        before = what(world.at(f"home/ann/ready/{kind}"))
        code = SWAPS_STAGE.format(root=str(world.root), kind=kind)
        done = world.pc.run("00overlay", env=injected(tmp_path / "fault", code))
        assert done.rc == 1, done
        assert world.read("etc/motd") == "1\n"
        found = [each for each in world.at("home/ann").rglob("*") if what(each) == before]
        # An empty directory may go; anything else is there as it was, wherever he has put it.
        assert found or kind == "directory"
        for each in found:
            assert not [one for one in each.rglob("*") if one.name.isdigit()]
        for path in world.at("home/ann").rglob("secret"):
            if path.read_text() == "secret\n":
                assert path.parent.stat().st_uid == 0
                assert path.parent.stat().st_mode & 0o077 == 0
        world.tick().ok()
        assert stat.S_IMODE(world.at("home/ann/d/sub").stat().st_mode) == 0o700
        assert stat.S_IMODE(world.at("home/ann/d/tool").stat().st_mode) == 0o4755


# A directory of ours is to have another mode; the user swaps it after we looked.
SWAPS_BEFORE = """
import os
from allie.client.apply import placing
real = placing.Placer._directory
def directory(placer, step):
    if step.real == "home/ann/d/sub":
        os.rename({root!r} + "/home/ann/d/sub", {root!r} + "/home/ann/taken")
        os.rename({root!r} + "/home/ann/ready/{kind}", {root!r} + "/home/ann/d/sub")
    real(placer, step)
placing.Placer._directory = directory
"""


@pytest.mark.parametrize("kind", ["directory", "roots", "link"])
def test_a_directory_that_is_swapped_after_the_look_is_given_nothing(
    tmp_path: Path, kind: str
) -> None:
    world = world_of(tmp_path)
    world.good()
    make_tree(world.root, {f"home/ann/ready/{path!s}": each for path, each in READY.items()})
    before = what(world.at(f"home/ann/ready/{kind}"))
    world.put({"home/ann/d/sub": Dir(0o755, owner=(ANN, ANN)), "etc/motd": "2\n"})
    code = SWAPS_BEFORE.format(root=str(world.root), kind=kind)
    done = world.pc.run("00overlay", env=injected(tmp_path / "fault", code))
    assert world.read("etc/motd") == "2\n"
    if kind != "link":  # a link gives way, to a directory of ours
        assert done.rc == 1, done
        assert what(world.at("home/ann/d/sub")) == before
    assert os.listdir(world.at("etc/roots")) == []
    assert stat.S_IMODE(world.at("etc/roots").stat().st_mode) == 0o700


def secret(world: World, text: str) -> list[Path]:
    """The files with a secret that the user can reach."""
    found = []
    for above, directories, names in os.walk(world.at("home/ann")):
        closed = [
            name
            for name in directories
            if not (st := os.stat(f"{above}/{name}")).st_mode & 0o001 and st.st_uid != ANN
        ]
        directories[:] = [name for name in directories if name not in closed]
        paths = [Path(above, name) for name in names if Path(above, name).is_file()]
        found += [path for path in paths if path.read_text() == text]
    return found


@pytest.mark.parametrize("kind", ["directory", "roots open"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_what_lies_closed_in_the_overlay_never_lies_open(
    tmp_path: Path, kind: str, when: str
) -> None:
    """The user has a directory of his, or of root's that is open, in the closed one's place."""
    world = world_of(tmp_path)
    make_tree(world.root, {"home/ann/ready/roots open": Dir(0o755)})
    sub = world.at("home/ann/d/sub")
    if when == "after":
        world.good()
        assert secret(world, "secret\n") == []
        make_tree(world.root, {f"home/ann/ready/{path!s}": each for path, each in READY.items()})
        sub.rename(sub.with_name("was"))
    else:
        sub.parent.mkdir()
    make_tree(world.root, {"home/ann/ready/roots open": Dir(0o755)})
    world.at(f"home/ann/ready/{kind}").rename(sub)
    world.put({"etc/motd": "2\n"})
    for _ in range(2):
        done = world.tick()
        assert secret(world, "secret\n") == []
        assert (done.rc, "open to others" in done.out) == (1, True), done.out
        assert world.read("etc/motd") == "2\n"


# The same, after we looked
SWAPS_PARENT = """
import os
from allie.client.apply import placing
real = placing.Placer._write_all
def write_all(placer, files):
    real(placer, files)
    placer._reach.close()
    os.rename({root!r} + "/home/ann/d/sub", {root!r} + "/home/ann/taken")
    os.rename({root!r} + "/home/ann/ready/{kind}", {root!r} + "/home/ann/d/sub")
placing.Placer._write_all = write_all
"""


@pytest.mark.parametrize("kind", ["directory", "roots open"])
def test_what_lies_closed_never_lies_open_after_the_look(tmp_path: Path, kind: str) -> None:
    world = world_of(tmp_path)
    make_tree(world.root, {"home/ann/ready/roots open": Dir(0o755)})
    code = SWAPS_PARENT.format(root=str(world.root), kind=kind)
    done = world.pc.run("00overlay", env=injected(tmp_path / "fault", code))
    assert done.rc == 1
    assert secret(world, "secret\n") == []
    assert world.read("etc/motd") == "1\n"


def test_where_all_is_the_users_nothing_is_given(tmp_path: Path) -> None:
    """A file system that has no owners (vfat) says that all is his; it gets contents alone.

    Stood in for by a way of making things that come out as his.
    """
    with tmpfs(tmp_path / "pc/home/ann", f"size=4m,mode=755,uid={ANN},gid={ANN}"):
        world = world_of(tmp_path)
        code = NO_OWNERS.format(uid=ANN)
        done = world.pc.run("00overlay", env=injected(tmp_path / "fault", code))
        assert world.read("etc/motd") == "1\n"
        assert world.read("home/ann/d/conf") == "1\n", done
        st = world.at("home/ann/d/tool").stat()
        assert not st.st_mode & stat.S_ISUID


NO_OWNERS = """
import os
from allie.machine.roots import clone, stage
real_open, real_mkdir = os.open, os.mkdir
def opens(path, flags, mode=0o777, *, dir_fd=None):
    found = real_open(path, flags, mode, dir_fd=dir_fd)
    if flags & os.O_CREAT and "ann" in os.readlink(f"/proc/self/fd/{{found}}"):
        os.fchown(found, {uid}, {uid})
    return found
def mkdirs(path, mode=0o777, *, dir_fd=None):
    real_mkdir(path, mode, dir_fd=dir_fd)
    where = path if dir_fd is None else os.readlink(f"/proc/self/fd/{{dir_fd}}")
    if "/home/ann" in os.path.realpath(where):
        os.chown(path, {uid}, {uid}, dir_fd=dir_fd)
os.open, os.mkdir = opens, mkdirs
"""
