"""Systems on partitions: found by label, mounted for us alone, never over anything."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import leftovers
from tests.systems.room import (
    Room,
    entry,
    in_system,
    kill,
    processes_of,
    section,
    settles,
    some_came,
)
from tests.tick.site import TickPC, script
from tests.worlds import machine
from tests.worlds.toy import Dir, Link, Tree, make_tree
from tests.worlds.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.root]
SIZES = {"ext4": 64, "xfs": 320, "btrfs": 128}  # MiB; the smallest that their mkfs makes


class Disk:
    """A loop device, perhaps with a file system."""

    def __init__(self, file: Path, megabytes: int) -> None:
        with file.open("wb") as made:
            made.truncate(megabytes << 20)
        self.file = file
        # of its own: other tests may look for theirs at the same time
        self.label = f"t{random.randrange(10**9)}"
        self.device = _run("losetup", "--show", "-f", file).strip()

    def make(self, kind: str) -> None:
        """mkfs."""
        force = "-F" if kind == "ext4" else "-f"
        _run(f"mkfs.{kind}", "-q", force, "-L", self.label, self.device)

    def mounted(self, at: Path) -> Path:
        """Mount it, to look into it."""
        at.mkdir(exist_ok=True)
        _run("mount", self.device, at)
        return at

    def end(self) -> None:
        """Let go of it."""
        subprocess.run(["losetup", "-d", self.device], check=True)


def _run(*argv: str | Path) -> str:
    return subprocess.run(list(map(str, argv)), check=True, capture_output=True, text=True).stdout


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with Room(tmp_path) as made:
        made.heavy_image("el7", 2)
        made.overlay({"etc/motd": "common\n"})
        yield made


@pytest.fixture
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Disk]:
    kind = getattr(request, "param", "ext4")
    why = machine.lacks_disk(kind)
    if why:
        pytest.skip(why)
    made = Disk(tmp_path / "disk", SIZES[kind])
    yield made
    made.end()


def _look(disk: Disk, tmp_path: Path, name: str) -> str:
    """The content of a file on it; "" if it is not there."""
    at = disk.mounted(tmp_path / "look")
    try:
        return (at / name).read_text() if (at / name).exists() else ""
    finally:
        _run("umount", at)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("disk", "kind"), [(each, each) for each in SIZES], indirect=["disk"], ids=list(SIZES)
)
def test_the_life_of_a_system_on_a_partition(
    room: Room, disk: Disk, kind: str, tmp_path: Path
) -> None:
    disk.make(kind)
    room.declare(section("el7", f"LABEL={disk.label}"), allie="bandwidth = 512K")
    before = leftovers.mounts_but_of(tmp_path)
    pc = room.pc("pc07")
    assert entry(pc, "el7")["state"] == "unbound"
    adding = pc.spawn("system", "add", "el7", "--trust")
    some_came(pc, "el7")
    kill(processes_of(pc.root))
    adding.communicate()
    until(lambda: not processes_of(pc.root), "they are dead")
    assert entry(pc, "el7")["state"] in ("partial", "missing")
    assert in_system(pc, "el7", "status").rc == 2
    assert pc.tick()["98systems"]["state"] == "waiting"
    settles(pc, "el7")
    assert leftovers.mounts_but_of(tmp_path) == before
    assert _look(disk, tmp_path, "etc/fstab").count(f"LABEL={disk.label} / auto") == 1
    assert _look(disk, tmp_path, "etc/motd") == "common\n"
    make_tree(disk.mounted(tmp_path / "look"), {"etc/motd": "edited\n", "home/ann": "thesis\n"})
    _run("umount", tmp_path / "look")
    pc.tick()
    assert _look(disk, tmp_path, "etc/motd") == "common\n", "ticked"
    _update_in_place(room, pc, disk, tmp_path)
    assert leftovers.mounts_but_of(tmp_path) == before


def _update_in_place(room: Room, pc: TickPC, disk: Disk, tmp_path: Path) -> None:
    room.heavy_image("el8", 3)
    room.declare(section("el7", f"LABEL={disk.label}", "el8"), allie="bandwidth = 512K")
    room.overlay({"etc/motd": "newer\n"})
    done = pc.tick(rc=1)
    assert done["98systems"]["state"] == "failing"
    assert "el7: ticked; " in pc.log("98systems"), "its overlays do not wait for anybody"
    assert "allie system update el7 --in-place" in pc.log("98systems")
    assert _look(disk, tmp_path, "etc/motd") == "newer\n", "ticked as it is"
    done_by_hand = pc.run("system", "update", "el7")
    assert (done_by_hand.rc, "is out of use during its update" in done_by_hand.err) == (64, True)
    assert pc.run("system", "rollback", "el7").rc == 64
    running = pc.spawn("system", "update", "el7", "--in-place")
    some_came(pc, "el7")
    kill(processes_of(pc.root))
    running.communicate()
    assert entry(pc, "el7")["state"] == "partial"
    pc.tick()  # it goes on by itself
    settles(pc, "el7", "el8")
    assert _look(disk, tmp_path, "home/ann") == "thesis\n"
    assert _look(disk, tmp_path, "etc/motd") == "newer\n"
    assert not _look(disk, tmp_path, ".allie-fetching")
    pc.tick()


def test_a_file_system_that_holds_something_is_left_alone(
    room: Room, disk: Disk, tmp_path: Path
) -> None:
    disk.make("ext4")
    make_tree(disk.mounted(tmp_path / "look"), {"precious": "mine\n"})
    _run("umount", tmp_path / "look")
    room.declare(section("el7", f"LABEL={disk.label}"))
    pc = room.pc("pc07")
    before = disk.file.read_bytes()[1 << 20 :]
    pc.tick(rc=1)
    assert "not bound: " in pc.log("98systems")
    assert "holds something that is no system" in pc.run("system", "add", "el7", "--trust").err
    pc.tick(rc=1)
    assert "not bound: " in pc.log("98systems"), "it was looked at before it was claimed"
    done = pc.run("system", "add", "el7", "--format", disk.device)
    assert done.rc == 2
    assert "holds something" in done.err
    assert "TYPE=ext4" in done.err
    assert _look(disk, tmp_path, "precious") == "mine\n"
    assert len(before) == len(disk.file.read_bytes()[1 << 20 :])


def test_format_makes_one_on_an_empty_device(room: Room, disk: Disk, tmp_path: Path) -> None:
    pc = room.pc("pc07")
    done = pc.run("system", "add", "el7", "--in", f"LABEL={disk.label}")
    assert (done.rc, "no partition of this PC has" in done.err) == (2, True)
    assert "--format DEVICE" in done.err
    long = ["--in", "LABEL=a-label-of-17-char", "--image", "el7", "--format", disk.device]
    done = pc.run("system", "add", "el8", *long)
    assert (done.rc, "at most 16 characters" in done.err) == (64, True)
    pc.run("system", "add", "el7", "--format", disk.device).ok()
    assert _look(disk, tmp_path, "etc/allie/system") == "el7\n"
    assert pc.run("system", "add", "el7", "--format", disk.device).rc == 2
    assert _look(disk, tmp_path, "etc/allie/system") == "el7\n"
    pc.run("system", "remove", "el7").ok()
    assert _look(disk, tmp_path, "etc/allie/system") == "el7\n", "the file system stays as it is"


def test_two_of_one_label_are_none(room: Room, disk: Disk, tmp_path: Path) -> None:
    disk.make("ext4")
    twin = Disk(tmp_path / "twin", 64)
    try:
        twin.label = disk.label
        twin.make("ext4")
        room.declare(section("el7", f"LABEL={disk.label}"))
        pc = room.pc("pc07")
        pc.tick(rc=1)
        said = f"LABEL={disk.label}: 2 file systems have that label: "
        assert said in pc.log("98systems")
        assert pc.run("system", "add", "el7", "--trust").rc == 2, "not even a person can mean both"
        assert not _look(disk, tmp_path, ".allie-fetching")
    finally:
        twin.end()


def test_by_the_partitions_own_label(room: Room, tmp_path: Path) -> None:
    if not machine.has_loop() or not shutil.which("partx") or not shutil.which("sfdisk"):
        pytest.skip("needs loop devices, sfdisk and partx")
    disk = Disk(tmp_path / "disk", 80)
    try:
        table = f'label: gpt\nstart=2048, name="{disk.label}"\n'
        subprocess.run(["sfdisk", "-q", disk.device], input=table, text=True, check=True)
        _run("partx", "-a", disk.device)
        try:
            pc = room.pc("pc07")
            where = f"PARTLABEL={disk.label}"
            made = f"{disk.device}p1"
            assert pc.run("system", "add", "el7", "--in", where, "--format", disk.device).rc == 2
            pc.run("system", "add", "el7", "--in", where, "--format", made).ok()
            assert entry(pc, "el7")["state"] == "there"
            assert in_system(pc, "el7", "status").rc == 0
        finally:
            _run("partx", "-d", disk.device)
    finally:
        disk.end()


def test_a_disk_that_fills_up(room: Room, disk: Disk, tmp_path: Path) -> None:
    disk.make("ext4")
    room.heavy_image("el7", 70)
    room.declare(section("el7", f"LABEL={disk.label}"))
    pc = room.pc("pc07")
    assert pc.run("system", "add", "el7", "--trust").rc == 2
    assert entry(pc, "el7")["words"].startswith("last time")
    assert "disk" in entry(pc, "el7")["words"]
    until(lambda: not processes_of(pc.root), "it has ended")
    pc.tick(rc=1)
    assert not processes_of(pc.root)
    for path in (room.store / "images/el7/usr/share").glob("[3-6]*"):
        path.unlink()
    pc.run("system", "add", "el7").ok()
    assert _look(disk, tmp_path, "etc/motd") == "common\n"
    pc.tick()


@pytest.mark.parametrize("disk", ["btrfs"], indirect=True)
def test_subvolumes_in_a_system(room: Room, disk: Disk, tmp_path: Path) -> None:
    """As systemd-tmpfiles and snapper make them; a snapshot has gaps in their places."""
    disk.make("btrfs")
    room.image("el7", {"opt/app": "one\n", "var/lib/portables": Dir(), "etc/fixed": "one\n"})
    room.declare(section("el7"))
    (tmp_path / "pc07").mkdir()
    at = tmp_path / "pc07/systems"
    disk.mounted(at)
    try:
        pc = room.pc("pc07")
        settles(pc, "el7")
        shutil.rmtree(at / "el7/opt")
        (at / "el7/var/lib/portables").rmdir()
        for each in ("opt", "srv", "var/lib/portables"):
            _run("btrfs", "-q", "subvolume", "create", at / "el7" / each)
        make_tree(at / "el7", {"srv/people": "theirs\n", "var/lib/portables/x": "x\n"})
        snapshot = at / "el7/var/lib/before"
        _run("btrfs", "-q", "subvolume", "snapshot", "-r", at / "el7/srv", snapshot)
        _run("chattr", "+i", at / "el7/etc/fixed")
        for words in ("two\n", "three\n"):
            changed = ("opt/app", "etc/fixed", "var/lib/portables/y")
            make_tree(room.store / "images/el7", dict.fromkeys(changed, words))
            pc.run("system", "update", "el7").ok()
            for each in changed:
                assert (at / "el7" / each).read_text() == words
            assert (at / "el7/srv/people").read_text() == "theirs\n"
        aside = [each for each in os.listdir(at) if ".stuck-" in each]
        assert [sorted(os.listdir(at / each)) for each in aside] == [["etc"]]
        assert os.listdir(at / aside[0] / "etc") == ["fixed"], "subvolumes and snapshots went"
    finally:
        subprocess.run(["chattr", "-R", "-i", str(at)], check=False, capture_output=True)
        _run("umount", at)


def test_an_update_in_place_leaves_what_is_immutable(
    room: Room, disk: Disk, tmp_path: Path
) -> None:
    """There is no other tree to fall back to: all else comes, and the file is named."""
    disk.make("ext4")
    room.declare(section("el7", f"LABEL={disk.label}"))
    pc = room.pc("pc07")
    pc.run("system", "add", "el7", "--trust").ok()
    release = disk.mounted(tmp_path / "look") / "etc/release"
    _run("chattr", "+i", release)
    _run("umount", tmp_path / "look")
    make_tree(room.store / "images/el7", {"etc/release": "two\n", "etc/zz": "two\n"})
    done = pc.run("system", "update", "el7", "--in-place").ok()
    assert "left as it was on this PC" in done.err
    assert "etc/" in done.err
    assert _look(disk, tmp_path, "etc/zz") == "two\n"
    assert _look(disk, tmp_path, "etc/release") == "one\n"
    assert entry(pc, "el7")["state"] == "there"


def test_an_update_in_place_leaves_peoples_files_where_links_lead(
    room: Room, disk: Disk, tmp_path: Path
) -> None:
    disk.make("ext4")
    image = room.store / "images/el7"
    (image / "home").rmdir()
    make_tree(image, {"var/home": Dir(), "var/srv": Dir()})
    make_tree(image, {"home": Link("var/home"), "srv": Link("/var/srv")})
    room.declare(section("el7", f"LABEL={disk.label}"))
    pc = room.pc("pc07")
    pc.run("system", "add", "el7", "--trust").ok()
    people: Tree = {"var/home/ann/thesis": "hers\n", "var/srv/web": "page\n"}
    make_tree(disk.mounted(tmp_path / "look"), people)
    _run("umount", tmp_path / "look")
    assert "already as the image" in pc.run("system", "update", "el7").ok().out
    make_tree(image, {"etc/release": "two\n"})
    pc.run("system", "update", "el7", "--in-place").ok()
    assert _look(disk, tmp_path, "etc/release") == "two\n"
    for path, content in people.items():
        assert _look(disk, tmp_path, str(path)) == content
    # The next one has a link where this PC has files of its own
    make_tree(disk.mounted(tmp_path / "look"), {"etc/systemd/network/own": "[Match]\n"})
    make_tree(image, {"etc/release": "three\n", "var/net": Dir()})
    make_tree(image, {"etc/systemd/network": Link("/var/net")})
    _run("umount", tmp_path / "look")
    done = pc.run("system", "update", "el7", "--in-place").ok()
    assert "left as it was on this PC: could not make way for" in done.err
    assert _look(disk, tmp_path, "etc/release") == "three\n"
    assert _look(disk, tmp_path, "etc/systemd/network/own") == "[Match]\n"


@pytest.mark.parametrize("disk", ["btrfs", "xfs"], indirect=True)
def test_an_update_shares_what_did_not_change(
    room: Room, disk: Disk, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """In a directory on btrfs (a subvolume of its own) and on xfs (shared blocks)."""
    kind = "btrfs" if "btrfs" in request.node.name else "xfs"
    disk.make(kind)
    room.heavy_image("el7", 30)
    room.declare(section("el7"))
    (tmp_path / "pc07").mkdir()
    at = tmp_path / "pc07/systems"
    disk.mounted(at)
    try:
        pc = room.pc("pc07", {"root/conf/50x": script("true")})
        settles(pc, "el7")
        os.sync()
        inode = (at / "el7").stat().st_ino
        assert (inode == 256) == (kind == "btrfs")
        before = shutil.disk_usage(at).used
        make_tree(room.store / "images/el7", {"etc/release": "two\n"})
        sent = room.sent
        pc.run("system", "update", "el7").ok()
        os.sync()
        assert room.sent - sent < 300_000
        assert shutil.disk_usage(at).used - before < 20 << 20
        assert (at / "el7/etc/release").read_text() == "two\n"
        pc.run("system", "rollback", "el7").ok()
        assert (at / "el7/etc/release").read_text() == "one\n"
        pc.run("system", "update", "el7").ok()
        assert (at / "el7/etc/release").read_text() == "two\n"
        assert sorted(os.listdir(at)) == [".el7.other", "el7"]
        pc.tick()
        pc.run("system", "remove", "el7")
    finally:
        _run("umount", at)
