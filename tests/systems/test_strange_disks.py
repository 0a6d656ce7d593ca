"""A disk with the right label that nobody at this PC has meant: nothing of it is read or written.

A disk of which not one byte is another than before was not mounted: ext4 notes each mount.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systems.room import Room, entry, in_system, section
from tests.systems.test_partitions import Disk
from tests.tick.site import TickPC, script
from tests.worlds import machine
from tests.worlds.busybox import busybox_root
from tests.worlds.toy import File, Tree

pytestmark = [pytest.mark.real, pytest.mark.root]
if machine.lacks_disk("ext4"):
    pytestmark.append(pytest.mark.skip(reason=machine.lacks_disk("ext4")))

# Each way to a system's disk, and the status that says that nothing was done
VERBS = [
    (("run-conf",), 1),
    (("system", "list"), 0),
    (("system", "add", "el7"), 2),
    (("system", "update", "el7"), 2),
    (("system", "update", "el7", "--in-place"), 2),
    (("system", "rollback", "el7"), 2),
    (("--system", "el7", "status"), 2),
    (("--system", "el7", "run-conf"), 2),
    (("--system", "el7", "undo"), 2),
]


class Stick(Disk):
    """A disk that somebody brings, with a file system of this label and tree."""

    def __init__(self, file: Path, label: str, tree: Path | None = None) -> None:
        super().__init__(file, 30)
        self.label = label
        more = ["-d", str(tree)] if tree else []
        make = ["mkfs.ext4", "-q", "-F", "-L", label, *more, self.device]
        subprocess.run(make, check=True)

    def digest(self) -> str:
        """What is on it."""
        os.sync()
        return hashlib.sha256(self.file.read_bytes()).hexdigest()


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with Room(tmp_path) as made:
        made.image("el7")
        made.overlay({"etc/secret": File("the overlays' own\n", 0o600)})
        yield made


def _hostile(top: Path, owned: Path) -> Path:
    """A system that is all there, whose script would be root's."""
    tree: Tree = {
        "etc/allie/system": "el7\n",
        "etc/allie/allie.conf": "[allie]\nstore = /nowhere\n[system el7]\noverlays = kit\n",
        "root/conf/50x": script(f"echo owned > {owned}"),
        "var/lib/allie/x": "",
    }
    return busybox_root(top, tree)


@pytest.mark.parametrize("kind", ["a system", "empty", "half fetched"])
def test_no_verb_reaches_a_stick(room: Room, tmp_path: Path, kind: str) -> None:
    tree = _hostile(tmp_path / "tree", tmp_path / "owned") if kind == "a system" else None
    if kind == "half fetched":
        (tmp_path / "tree").mkdir()
        tree = tmp_path / "tree"
        (tree / ".allie-fetching").write_text('{"system": "el7", "image": "el7", "phase": "tick"}')
        (tree / ".allie-ahead").symlink_to("/srv")
    stick = Stick(tmp_path / "disk", f"t{os.getpid()}", tree)
    try:
        before = stick.digest()
        room.declare(section("el7", f"LABEL={stick.label}"))
        pc = room.pc("pc07")
        for words, code in [*VERBS, *VERBS]:  # what the first round noted is no permission
            done = pc.run(*words)
            assert (done.rc, words) == (code, words), done
            line = f"not bound: LABEL={stick.label}: {stick.device} is on a loop device"
            said = done.out + done.err + (pc.log("98systems") if "run-conf" in words else "")
            assert line in said, words
            assert "allie system add el7 --trust" in said
        assert entry(pc, "el7")["state"] == "unbound"
        assert pc.run("system", "remove", "el7").rc in (0, 64)
        assert pc.tick(rc=1)["98systems"]["state"] == "failing"
        assert stick.digest() == before
        assert not (tmp_path / "owned").exists()
    finally:
        stick.end()


def test_a_pc_of_before_takes_no_stick_either(room: Room, tmp_path: Path) -> None:
    stick = Stick(tmp_path / "disk", f"t{os.getpid()}")
    try:
        before = stick.digest()
        room.declare(section("el7", f"LABEL={stick.label}"))
        pc = room.pc("pc07")
        book = pc.path("/var/lib/allie/systems/el7")
        shutil.rmtree(book, ignore_errors=True)
        book.mkdir(parents=True)
        pc.tick(rc=1)
        assert "is on a loop device" in pc.log("98systems")
        assert stick.digest() == before
    finally:
        stick.end()


def _bound(room: Room, stick: Stick) -> TickPC:
    """A PC that has its system on a disk that a person has named."""
    probe = script(
        "while read -r _ _ _ _ point flags _; do",
        '    [ "$point" = / ] && echo "$flags"',
        "done < /proc/self/mountinfo > /etc/mounted",
        "true",
    )
    room.overlay({"root/conf/50mounted": probe})
    room.declare(section("el7", f"LABEL={stick.label}"))
    pc = room.pc("pc07")
    pc.run("system", "add", "el7", "--trust").ok()
    return pc


def test_named_by_a_person_it_is_looked_after(room: Room, tmp_path: Path) -> None:
    stick = Stick(tmp_path / "disk", f"t{os.getpid()}")
    try:
        pc = _bound(room, stick)
        noted = pc.path("/var/lib/allie/systems/el7/binding")
        assert noted.stat().st_mode & 0o777 == 0o600
        pc.tick()
        assert in_system(pc, "el7", "status").rc == 0
        mounted = stick.mounted(tmp_path / "look") / "etc/mounted"
        flags = mounted.read_text().strip().split(",")
        subprocess.run(["umount", str(tmp_path / "look")], check=True)
        # What root runs in it may be setuid, as in any system; the mount itself is root's to see.
        assert "nodev" in flags, "its scripts ran without device files of the disk's"
        assert "noexec" not in flags
        assert pc.run("system", "add", "nowhere", "--in", "/systems/x", "--trust").rc == 64
    finally:
        stick.end()


def test_a_clone_is_not_it_with_and_without_the_original(room: Room, tmp_path: Path) -> None:
    stick = Stick(tmp_path / "disk", f"t{os.getpid()}")
    pc = _bound(room, stick)
    os.sync()
    clone = Disk(tmp_path / "clone", 30)
    try:
        subprocess.run(["dd", f"if={stick.device}", f"of={clone.device}", "bs=1M"], check=True)
        os.sync()
        before = clone.file.read_bytes()
        pc.tick()  # the one that was meant is there, whatever else says that it is
        stick.end()
        pc.tick(rc=1)
        assert f"{clone.device} is not the disk that it was bound to" in pc.log("98systems")
        os.sync()
        assert clone.file.read_bytes() == before
        back = subprocess.run(["losetup", "-f", "--show", stick.file], check=True, stdout=-1)
        stick.device = back.stdout.decode().strip()
        pc.tick()
    finally:
        clone.end()
        stick.end()


def test_made_anew_it_is_another(room: Room, tmp_path: Path) -> None:
    stick = Stick(tmp_path / "disk", f"t{os.getpid()}")
    try:
        pc = _bound(room, stick)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-L", stick.label, stick.device], check=True)
        before = stick.digest()
        pc.tick(rc=1)
        assert "is not the disk that it was bound to" in pc.log("98systems")
        assert stick.digest() == before
        pc.run("system", "add", "el7", "--trust").ok()
        pc.tick()
    finally:
        stick.end()


def test_what_it_says_that_it_holds_chooses_no_code(room: Room, tmp_path: Path) -> None:
    """Not a helper's, and not any file system of the kernel's: there is a short list."""
    disk = Disk(tmp_path / "disk", 30)
    try:
        subprocess.run(["mkswap", "-q", "-L", disk.label, disk.device], check=True)
        room.declare(section("el7", f"LABEL={disk.label}"))
        pc = room.pc("pc07")
        done = pc.run("system", "add", "el7", "--trust")
        assert (done.rc, "holds swap, which ALLiE does not mount" in done.err) == (2, True)
    finally:
        disk.end()


def test_what_a_system_left_for_its_own_fetch_leads_nowhere(room: Room, tmp_path: Path) -> None:
    """Its root may write at its top, and so pretend that a fetch of it was cut short."""
    victim = tmp_path / "home"
    victim.mkdir()
    (victim / "thesis").write_text("of years")
    note = '{"system": "el7", "image": "el7", "phase": "image"}'
    for links in ([".allie-ahead"], [".allie-ahead/mirror"], [".allie-ahead/contact"]):
        tree = tmp_path / f"tree{len(os.listdir(tmp_path))}"
        tree.mkdir()
        (tree / ".allie-fetching").write_text(note)
        for each in links:
            (tree / each).parent.mkdir(exist_ok=True)
            (tree / each).symlink_to(victim)
        stick = Stick(tmp_path / "disk", f"t{os.getpid()}", tree)
        try:
            room.declare(section("el7", f"LABEL={stick.label}"))
            pc = room.pc(f"pc{len(os.listdir(tmp_path))}")
            pc.run("system", "add", "el7", "--trust").ok()
        finally:
            stick.end()
        assert os.listdir(victim) == ["thesis"], links
