"""A system that is declared and missing arrives by itself, whole or not at all.

docs/internals/rules.md, "The disk may have the name and not the content".
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from allie.core.change import ledger
from tests.systems.room import (
    Room,
    arrives,
    entry,
    in_system,
    kill,
    processes_of,
    section,
    tree_of,
)
from tests.tick.site import script
from tests.worlds.toy import Link, make_tree
from tests.worlds.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.root]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with Room(tmp_path) as made:
        made.image("el7")
        made.declare(section("el7"))
        made.overlay(
            {"etc/motd": "common\n", "root/conf/50once": script("echo $ALLIE_SYSTEM >/ran")}
        )
        yield made


def _whole(part: Path) -> dict[str, int]:
    """The inodes of the files that came, without the one that was just coming."""
    files = part.glob("usr/share/[0-9]*")
    return {path.name: path.stat().st_ino for path in files if path.stat().st_size == 1 << 20}


def _have_come(part: Path, number: int) -> bool:
    return len(_whole(part)) >= number


def test_a_missing_system_arrives_and_is_ticked(room: Room) -> None:
    pc = room.pc("pc07")
    arrives(pc, "el7")
    root = pc.root / "systems/el7"
    assert (root / "etc/release").read_text() == "one\n"
    assert (root / "etc/motd").read_text() == "common\n", "its overlays are laid before it is seen"
    assert (root / "ran").read_text() == "el7\n", "and its scripts have run in its own root"
    assert os.listdir(pc.root / "systems") == ["el7"]
    assert not (root / ".allie-fetching").exists()
    scripts = pc.tick()
    assert scripts["98systems"]["state"] == "satisfied", scripts
    report = in_system(pc, "el7", "status", "--json").ok().json
    assert (report["system"], report["host"], report["image"]) == ("el7", "pc07", "el7")
    assert report["tick"] == 2, "98systems ticked it"
    assert pc.status()["system"] == "pc"


@pytest.mark.parametrize("on", [True, False])
def test_its_ticks_are_switched_on_as_the_pcs_are(tmp_path: Path, on: bool) -> None:
    """It may be booted one day, and would never tick, nor say that it came up."""
    with Room(tmp_path) as room:
        room.image("el7", {"usr/lib/systemd/systemd": script("")})
        room.declare(section("el7"))
        pc = room.pc("pc07", {"etc/cron.d/allie": "# ticks\n"} if on else None)
        arrives(pc, "el7")
        link = pc.root / "systems/el7/etc/systemd/system/timers.target.wants/allie.timer"
        assert link.is_symlink() == on


def test_it_is_made_fit_for_this_pc(room: Room) -> None:
    pc = room.pc("pc07")
    arrives(pc, "el7")
    root = pc.root / "systems/el7"
    fstab = (root / "etc/fstab").read_text()
    assert "LABEL=home /home ext4 nodev 0 2\n" in fstab
    assert "LABEL=swap none swap sw\n" in fstab
    assert "LABEL=root" not in fstab
    assert (root / "home").is_dir()
    assert (root / "etc/hostname").read_text() == "pc07\n"
    assert (root / "etc/timezone").read_text() == "Europe/London\n"
    assert (root / "etc/ssh/ssh_host_ed25519_key").read_text() == "this PC's key\n"
    assert not (root / "etc/ssh/ssh_host_rsa_key").exists(), "the golden machine's"
    ours, its = pc.read("etc/machine-id"), (root / "etc/machine-id").read_text()
    assert len(its) == len(ours) == 33
    assert its != ours
    assert (root / "etc/allie/system").read_text() == "el7\n"
    books = ledger.decode((root / "var/lib/allie/ledger").read_text())
    assert books.entries, "its own, not the golden machine's"


def test_it_is_not_seen_before_it_is_whole_and_killed_twice_it_goes_on(room: Room) -> None:
    room.heavy_image("el7", 12)
    room.declare(section("el7"), allie="bandwidth = 3M")
    pc = room.pc("pc07")
    part = pc.root / "systems/.el7.part"
    for share in (3, 7):
        until(partial(_have_come, part, share), f"{share} files came")
        assert entry(pc, "el7")["state"] == "missing"
        assert "being fetched" in entry(pc, "el7")["words"]
        kill(processes_of(pc.root))
        until(lambda: not processes_of(pc.root), "they are dead")
        assert not (pc.root / "systems/el7").exists()
        came = _whole(part)
        assert len(came) >= share
        assert pc.tick()["98systems"]["state"] == "waiting"
    arrives(pc, "el7")
    root = pc.root / "systems/el7"
    for path in (room.store / "images/el7/usr/share").iterdir():
        assert (root / "usr/share" / path.name).read_bytes() == path.read_bytes()
    for name, inode in came.items():
        assert (root / "usr/share" / name).stat().st_ino == inode, (
            "what was there was not sent again"
        )


def test_gone_on_with_it_never_writes_a_file_by_another_name(room: Room) -> None:
    """Two names were one file when it was cut short, and are two in the image as it is now."""
    image = room.heavy_image("el7", 8)
    ours, other = image / "etc/a", image / "etc/b"
    ours.write_text("both\n")
    os.link(ours, other)
    room.declare(section("el7"), allie="bandwidth = 2M")
    pc = room.pc("pc07")
    part = pc.root / "systems/.el7.part"
    until(partial(_have_come, part, 2), "some files came")
    kill(processes_of(pc.root))
    until(lambda: not processes_of(pc.root), "they are dead")
    assert (part / "etc/a").samefile(part / "etc/b")
    ours.unlink()
    ours.write_text("this one\n")
    pc.tick()
    arrives(pc, "el7")
    root = pc.root / "systems/el7"
    assert [(root / f"etc/{name}").read_text() for name in "ab"] == ["this one\n", "both\n"]


def test_its_overlays_come_while_its_image_does(room: Room) -> None:
    room.heavy_image("el7", 8)
    room.declare(section("el7"), allie="bandwidth = 2M")
    pc = room.pc("pc07")
    part = pc.root / "systems/.el7.part"
    until((part / ".allie-ahead/mirror/current").is_symlink, "the overlays came")
    assert len(_whole(part)) < 8
    assert not (part / "var/lib/allie/mirror").exists(), "nothing is in the image's way"
    arrives(pc, "el7")
    root = pc.root / "systems/el7"
    assert not (root / ".allie-ahead").exists()
    assert (root / "etc/motd").read_text() == "common\n"
    brought = (root / "var/lib/allie/fetched").read_text()
    assert "common/etc/motd\n" in brought, "the first tick's scripts are told what came"
    assert in_system(pc, "el7", "status", "--json").ok().json["contact"]["server"]


def test_large_files_keep_their_holes_and_links(room: Room) -> None:
    image = room.image("el7")
    place = image / "var/lib/odd\nplace"
    place.mkdir(parents=True)
    with (place / "sparse").open("wb") as file:
        file.write(b"head")
        file.seek(300 << 20)
        file.write(b"tail")
    os.link(place / "sparse", place / "other name")
    os.utime(place, (1_500_000_000, 1_500_000_000))
    pc = room.pc("pc07")
    arrives(pc, "el7")
    came = pc.root / "systems/el7/var/lib/odd\nplace"
    st = (came / "sparse").stat()
    assert st.st_size == (300 << 20) + 4
    assert st.st_blocks * 512 < 1 << 20, "no room for 300 MB of nothing"
    assert (came / "other name").samefile(came / "sparse")
    assert came.stat().st_mtime == 1_500_000_000
    with (came / "sparse").open("rb") as file:
        assert file.read(4) == b"head"
        file.seek(300 << 20)
        assert file.read() == b"tail"


def test_how_far_it_is_can_be_seen_and_what_it_may_take_is_held(room: Room) -> None:
    room.heavy_image("el7", 12)
    room.declare(section("el7"), allie="bandwidth = 2M")
    began = time.monotonic()
    pc = room.pc("pc07")
    words = until(lambda: (said := entry(pc, "el7")["words"]).endswith("far") and said, "how far")
    came = re.fullmatch(r"being fetched.* (\d+) MiB so far", words)
    assert came, words
    assert 0 < int(came.group(1)) <= 13
    arrives(pc, "el7")
    assert time.monotonic() - began > 12 / 2 * 0.8


def test_after_a_power_failure_hollow_files_are_found(room: Room) -> None:
    """Size and time may have reached the disk, and the content not."""
    room.heavy_image("el7", 6)
    room.declare(section("el7"), allie="bandwidth = 2M")
    pc = room.pc("pc07")
    part = pc.root / "systems/.el7.part"
    until(lambda: (part / "usr/share/02").exists(), "some files came")
    kill(processes_of(pc.root))
    until(lambda: not processes_of(pc.root), "they are dead")
    hollow = part / "usr/share/00"
    times = hollow.stat()
    hollow.write_bytes(b"\0" * times.st_size)
    os.utime(hollow, ns=(times.st_atime_ns, times.st_mtime_ns))
    note = json.loads((part / ".allie-fetching").read_text())
    (part / ".allie-fetching").write_text(json.dumps({**note, "boot": "the one before"}))
    pc.tick()
    arrives(pc, "el7")
    want = (room.store / "images/el7/usr/share/00").read_bytes()
    assert (pc.root / "systems/el7/usr/share/00").read_bytes() == want


def test_what_is_foreign_is_never_touched(room: Room) -> None:
    room.declare(section("el7"), section("el8", "/systems/full", "el7"))
    pc = room.pc("pc07", {"systems/full/precious": "mine\n", "systems/el7/etc/allie/system": "x\n"})
    before = tree_of(pc.root / "systems")
    scripts = pc.tick(rc=1)
    assert scripts["98systems"]["state"] == "failing"
    log = pc.log("98systems")
    assert "/systems/full holds something that is no system" in log
    assert "/systems/el7 holds the system x" in log
    assert pc.run("system", "add", "el8").rc == 2
    assert tree_of(pc.root / "systems") == before


@pytest.mark.parametrize("target", ["/", "..", "/systems/me"])
def test_the_running_system_is_never_its_own_sibling(room: Room, target: str) -> None:
    pc = room.pc("pc07", {"systems/el7": Link(target), "systems/me": Link("/")})
    pc.tick(rc=1)
    assert "holds" in pc.log("98systems") or "is the system that runs now" in pc.log("98systems")
    assert pc.read("etc/allie/system") == "pc\n"
    assert in_system(pc, "el7", "status").rc == 2


@pytest.mark.parametrize(
    ("image", "words"),
    [("nothing", "nothing"), ("empty", "is no system"), ("half", "is no system")],
)
def test_an_image_that_is_not_there(room: Room, image: str, words: str) -> None:
    (room.store / "images/empty").mkdir()
    half = room.image("half")  # its /usr is another disk, which is not mounted
    shutil.rmtree(half / "usr")
    shutil.rmtree(half / "bin", ignore_errors=True)
    room.declare(section("el7", image=image))
    pc = room.pc("pc07")
    until(lambda: entry(pc, "el7")["words"].startswith("last time"), "the fetch failed")
    assert words in entry(pc, "el7")["words"]
    assert pc.tick(rc=1)["98systems"]["state"] == "failing"
    assert not (pc.root / "systems/el7").exists()
    room.declare(section("el7", image="el7"))
    until(lambda: not processes_of(pc.root), "the second try ends")
    pc.tick(rc=None)
    arrives(pc, "el7", "el7")


def test_a_store_that_is_away_is_no_failure(room: Room) -> None:
    room.heavy_image("el7", 6)
    room.declare(section("el7"), allie="bandwidth = 2M\nstall = 3")
    pc = room.pc("pc07")
    until(lambda: (pc.root / "systems/.el7.part/usr/share/00").exists(), "some files came")
    room.server.stop()
    until(lambda: not processes_of(pc.root), "it gave up")
    assert pc.tick(rc=None)["98systems"]["state"] == "waiting"
    until(lambda: not processes_of(pc.root), "it gave up again")
    room.server.start()
    pc.tick(rc=None)
    arrives(pc, "el7")
    pc.tick()


@pytest.mark.parametrize(
    ("size", "more"),
    [
        ("size=8m", "size=90m"),
        ("size=90m,nr_inodes=400", "nr_inodes=4000"),
        ("size=8m", ""),  # another image, which fits
    ],
)
def test_a_full_disk_is_given_back_and_not_filled_again(room: Room, size: str, more: str) -> None:
    make_tree(room.heavy_image("el7", 12), {f"opt/{number}": "" for number in range(500)})
    room.declare()
    pc = room.pc("pc07")
    disk = pc.root / "systems"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(disk)]
    assert os.spawnvp(os.P_WAIT, "mount", mount) == 0
    try:
        room.declare(section("el7"))
        pc.tick()
        until(lambda: entry(pc, "el7")["words"].startswith("last time"), "the disk is full")
        assert "disk" in entry(pc, "el7")["words"]
        assert os.listdir(disk) == [], "what filled it is gone"
        until(lambda: not processes_of(pc.root), "it has ended")
        assert pc.tick(rc=1)["98systems"]["state"] == "failing"
        assert "not tried again before there is room" in pc.log("98systems")
        assert not processes_of(pc.root)
        if more:
            mount = ["mount", "-o", f"remount,{more}", str(disk)]
            assert os.spawnvp(os.P_WAIT, "mount", mount) == 0
        else:
            room.image("small")
            room.declare(section("el7", image="small"))
        pc.tick(rc=None)
        arrives(pc, "el7")
        pc.tick()
    finally:
        os.spawnvp(os.P_WAIT, "umount", ["umount", "-l", str(disk)])


def test_paused_nothing_is_fetched(room: Room) -> None:
    room.declare()
    pc = room.pc("pc07")
    pc.run("pause").ok()
    room.declare(section("el7"))
    pc.tick()
    assert not processes_of(pc.root)
    assert not (pc.root / "systems").exists()
    pc.run("resume").ok()
    pc.tick(rc=None)
    pc.tick(rc=None)
    arrives(pc, "el7")
