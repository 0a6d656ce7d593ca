"""An update begins with a copy of the present tree, or most of it: that only makes it quicker."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from allie.machine.disk import tree_copies
from tests.systems.room import (
    Room,
    entry,
    in_system,
    kill,
    processes_of,
    section,
    settles,
    tree_of,
)
from tests.tick.site import TickPC
from tests.worlds.toy import File, Hard, Link, Tree, make_tree
from tests.worlds.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.root]
HOLLOW = 17 << 20  # bytes: a file whose holes are kept
NOTHING = "exit 1"
KINDS: Tree = {
    "usr/bin/tool": File("#!/bin/sh\n", 0o4755, (0, 7)),
    "usr/lib/tool": Hard("usr/bin/tool"),
    "usr/lib/one": "one\n",
    "usr/lib/two": Hard("usr/lib/one"),
    "usr/lib/hollow": File("x", size=HOLLOW),
    "usr/libx32": Link("lib"),
    "usr/share/deep/er/-n": File("", 0o600, (7, 7)),
    "-n": "x\n",
    "home/ann/thesis": File("chapter 1\n", 0o600, (7, 7)),
}


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with Room(tmp_path) as made:
        make_tree(made.heavy_image("el7", 3), KINDS)
        made.declare(section("el7"))
        made.overlay({"etc/motd": "common\n"})
        yield made


def _differences(one: Path, other: Path) -> str:
    flags = ["-naHAXSOci", "--numeric-ids", "--delete", "--exclude=/local"]
    argv = ["rsync", *flags, f"{one}/", f"{other}/"]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def _fake_cp(tmp_path: Path, does: str) -> dict[str, str]:
    """An environment whose `cp` is another one."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/cp").write_text(f"#!/bin/sh\n{does}\n")
    (tmp_path / "bin/cp").chmod(0o755)
    return {"ALLIE_PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}


def _asking(top: Path) -> list[int]:
    """The rsyncs that list an image for an update, and wait for its copy."""
    found = []
    for pid in processes_of(top):
        with suppress(FileNotFoundError):  # it has ended since
            if b"--files-from=-" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def test_all_of_it_is_copied_and_nothing_is_a_link(tmp_path: Path) -> None:
    old, new = make_tree(tmp_path / "old", KINDS), tmp_path / "new"
    os.setxattr(old / "usr/lib/one", "user.mark", b"1")
    subprocess.run(["setfacl", "-m", "u:7:r", old / "usr/share/deep"], check=True)
    before = tree_of(old)
    assert tree_copies.begin_with(str(old), str(new)), "it is to be filled"
    tree_copies.fill(str(old), str(new))
    left = [line.split()[-1] for line in _differences(old, new).splitlines()]
    assert set(left) <= {"./", "usr/", "usr/bin/tool", "usr/lib/tool"}, "links between two copies"
    assert (new / "usr/lib/hollow").stat().st_blocks * 512 < HOLLOW
    inodes = {path.lstat().st_ino for path in old.rglob("*")}
    assert not inodes & {path.lstat().st_ino for path in new.rglob("*")}
    assert new.stat().st_mode & 0o777 == 0o700, "nobody looks in while it is being made"
    assert tree_of(old) == before


def test_nothing_is_reached_through_a_link(tmp_path: Path) -> None:
    make_tree(tmp_path / "out", {"bin/secret": "x\n"})
    out = str(tmp_path / "out")
    old = make_tree(tmp_path / "old", {"usr": Link(out), "var": Link(out), "etc/x": ""})
    tree_copies.begin_with(str(old), str(tmp_path / "new"))
    tree_copies.fill(str(old), str(tmp_path / "new"))
    assert sorted(os.listdir(tmp_path / "new")) == ["etc", "var"]
    assert os.readlink(tmp_path / "new/var") == out


@pytest.mark.parametrize(
    "cp", ["", NOTHING, 'case "$*" in *share*) exit 1;; esac; exec /bin/cp "$@"']
)
def test_it_is_the_image_whatever_was_copied(
    room: Room, pc: TickPC, tmp_path: Path, cp: str
) -> None:
    root, image = pc.root / "systems/el7", room.store / "images/el7"
    make_tree(root, {"home/ann/thesis": "chapter 1\n", "usr/lib/stray": "made here\n"})
    make_tree(image, {"etc/release": "two\n", "usr/share/new": "two\n"})
    (root / "usr/share/00").write_bytes(b"broken here")
    before = tree_of(root / "usr")
    env = _fake_cp(tmp_path, cp) if cp else None
    pc.run("system", "update", "el7", env=env).ok()
    assert not _differences(image / "usr", root / "usr")
    assert (root / "usr/bin/tool").samefile(root / "usr/lib/tool"), "of two parts"
    hollow = (root / "usr/lib/hollow").stat().st_blocks * 512 < HOLLOW
    assert hollow or cp == NOTHING, "rsync fills the holes of what it copies"
    assert (root / "home/ann/thesis").read_text() == "chapter 1\n"
    assert tree_of(pc.root / "systems/.el7.other/usr") == before
    pc.tick()


@pytest.mark.parametrize("fails", [False, True])
def test_the_store_is_asked_while_it_is_copied(
    room: Room, pc: TickPC, tmp_path: Path, fails: bool
) -> None:
    """What rsync does then begins when the copy has ended; where it failed, it is asked again."""
    part, image = pc.root / "systems/.el7.part", room.store / "images/el7"
    make_tree(image, {"etc/release": "two\n"})
    waits = 'while [ ! -e "$0.goes" ]; do sleep 0.05; done; exec /bin/cp "$@"'
    with pc.spawn("system", "update", "el7", env=_fake_cp(tmp_path, waits)) as running:
        asking = until(lambda: _asking(pc.root), "the store is asked")
        time.sleep(1)
        assert not (part / "etc/release").exists(), "nothing comes yet"
        if fails:
            kill(asking)
        (tmp_path / "bin/cp.goes").touch()
        running.communicate()
        assert running.returncode == 0
    assert not _differences(image / "usr", pc.root / "systems/el7/usr")
    assert (pc.root / "systems/el7/etc/release").read_text() == "two\n"


def test_killed_while_it_is_copied(room: Room, pc: TickPC, tmp_path: Path) -> None:
    at = pc.root / "systems"
    make_tree(room.store / "images/el7", {"etc/release": "two\n"})
    with pc.spawn("system", "update", "el7", env=_fake_cp(tmp_path, "sleep 60")):
        until(lambda: list(at.glob(".el7.part/usr")), "it is being copied")
        kill(processes_of(pc.root))
    until(lambda: not processes_of(pc.root), "they are dead")
    assert (at / "el7/etc/release").read_text() == "one\n"
    assert in_system(pc, "el7", "run-conf").rc == 0
    pc.run("system", "update", "el7").ok()
    assert (at / "el7/etc/release").read_text() == "two\n"
    assert sorted(os.listdir(at)) == [".el7.other", "el7"]


def test_what_has_not_room_twice_is_no_copy(room: Room) -> None:
    """What fills the disk is not the image's, which has room once more."""
    room.declare()
    pc = room.pc("pc07")
    at = pc.root / "systems"
    at.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", at], check=True)
    try:
        room.declare(section("el7"))
        pc.tick(rc=None)
        settles(pc, "el7")
        many = shutil.disk_usage(at).free * 6 // 10
        make_tree(at / "el7", {"usr/share/much": b"x" * many})
        make_tree(room.store / "images/el7", {"etc/release": "two\n"})
        done = pc.run("system", "update", "el7")
        assert done.rc == 0, done
        assert sorted(os.listdir(at)) == [".el7.other", "el7"]
        assert (at / "el7/etc/release").read_text() == "two\n"
        make_tree(room.store / "images/el7", {"usr/share/more": b"x" * many})
        done = pc.run("system", "update", "el7")
        assert (done.rc, "disk" in done.err) == (2, True), done
        assert "disk" in entry(pc, "el7")["words"]
        assert sorted(os.listdir(at)) == [".el7.other", "el7"], "what filled it is gone"
        assert in_system(pc, "el7", "run-conf").rc == 0
    finally:
        subprocess.run(["umount", "-l", at], check=True)
