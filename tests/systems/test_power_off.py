"""The power goes while a system is fetched, updated or switched to: nothing is ever half.

The whole PC stands on one disk (tests/worlds/power.py): what was not synced is lost, of the base's
own notes too. Beside each moment: whether the journal had just been committed, names without
content.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from allie.client.situation import other_systems
from tests.systems.room import (
    Room,
    entry,
    in_system,
    kill,
    processes_of,
    section,
    settles,
)
from tests.tick.site import TickPC, kit_folder
from tests.worlds import machine
from tests.worlds.power import PowerDisk
from tests.worlds.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.root, pytest.mark.slow]
_BOOT = "/proc/sys/kernel/random/boot_id"
NEWER = 1_700_000_000
Moment = Callable[[Path], bool]  # of the directory that the systems live in


class PoweredPC(TickPC):
    """A PC on a disk of its own, with a boot that it knows of."""

    def __init__(self, root: Path, disk: PowerDisk) -> None:
        super().__init__(root)
        self.disk = disk
        self.boots = 0
        self.boot = disk.at.with_name("boot-id")
        self.boot.write_text("boot 0\n")
        self.systems = root / "systems"

    def argv(self, *args: str | Path) -> list[str]:
        """As any PC's, but that the kernel tells of this PC's boot."""
        own = [str(kit_folder() / name) for name in ("lib", "run")]
        inside = (
            f'mount --bind "$0" {_BOOT} && mount --bind "$1" /var/lib'
            ' && mount --bind "$2" /run && shift 2 && exec "$@"'
        )
        apart = ["unshare", "--mount", "--propagation", "private", "sh", "-c", inside]
        client = [str(self.archive), "--root", str(self.root)]
        return [*apart, str(self.boot), *own, *client, *map(str, args)]

    def lose_power(self, *, journal: bool) -> None:
        """And have it again."""
        self.disk.cut(journal=journal)
        until(lambda: not processes_of(self.root), "all is dead", push=self.end_all)
        self.disk.back()
        self.boots += 1
        self.boot.write_text(f"boot {self.boots}\n")

    def end_all(self) -> None:
        """SIGKILL for all that runs on it."""
        kill(processes_of(self.root))


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with Room(tmp_path) as made:
        made.heavy_image("el7", 6)
        for path in made.heavy_image("el8", 6).glob("usr/share/*"):
            os.utime(path, (NEWER, NEWER))  # same size and second would be the same file to rsync
        made.overlay({"etc/motd": "common\n"})
        made.declare()
        yield made


@contextmanager
def powered(room: Room, kind: str) -> Iterator[PoweredPC]:
    """A PC on a disk of this kind, that has joined."""
    why = machine.lacks_disk(kind)
    if why:
        pytest.skip(why)
    with PowerDisk(room.top / "disk", kind) as disk:
        root = room.pc("disk/pc07", {"etc/hostname": "pc07\n"}).root
        disk.sync()
        pc = PoweredPC(root, disk)
        try:
            yield pc
        finally:
            until(lambda: not processes_of(pc.root), "all is dead", push=pc.end_all)


def _came(number: int) -> Moment:
    """So many of the image's files are there under their names."""
    return lambda at: len(list(at.glob(".el7.part/usr/share/[0-9]*"))) >= number


def _phase(which: str, phase: str) -> Moment:
    """A tree's note says so."""

    def reached(at: Path) -> bool:
        note = other_systems.note_of(str(at / which))
        return bool(note and note.phase == phase)

    return reached


def _laid(at: Path) -> bool:
    return (at / ".el7.part/etc/motd").exists()


def _seen(at: Path) -> bool:
    return (at / "el7").exists()


def _aside(at: Path) -> bool:
    return (at / ".el7.other").exists()


def _switched(at: Path) -> bool:
    return (at / "el7/is-el8").exists()


def _or(one: Moment, next_one: Moment) -> Moment:
    """A moment so short that one may look too late for it."""
    return lambda at: one(at) or next_one(at)


def _await(pc: PoweredPC, moment: Moment) -> None:
    """Such moments are short: look all the time."""
    until(lambda: moment(pc.systems), "that moment comes", pause=0.0005)


def _digests(tree: Path) -> dict[str, str]:
    found = {path.name: sha256(path.read_bytes()) for path in tree.glob("usr/share/[0-9]*")}
    found["tool"] = sha256((tree / "usr/bin/tool").read_bytes())
    return {name: digest.hexdigest() for name, digest in found.items()}


def _is(tree: Path, image: Path) -> None:
    """A tree is all of an image, with its overlays laid and its books in order."""
    assert _digests(tree) == _digests(image)
    assert (tree / "etc/motd").read_text() == "common\n"
    assert (tree / "etc/allie/system").read_text() == "el7\n"
    assert (tree / "etc/ssh/ssh_host_ed25519_key").read_text() == "this PC's key\n"
    assert len((tree / "etc/machine-id").read_text()) == 33


def _base_is_whole(pc: PoweredPC) -> None:
    assert pc.read("etc/allie/system") == "pc\n"
    assert pc.read("etc/motd") == "common\n"
    assert pc.read("etc/machine-id") == "0123456789abcdef0123456789abcdef\n"
    assert pc.run("status").rc == 0


FETCH: dict[str, Moment] = {
    "one-file": _came(1),
    "three-files": _came(3),
    "first-tick": _phase(".el7.part", other_systems.TICK),
    "overlays-laid": _laid,
    "ready": _or(_phase(".el7.part", other_systems.READY), _seen),
    "seen": _seen,
}


@pytest.mark.parametrize(
    ("moment", "kind", "journal"),
    [
        ("one-file", "ext4", False),
        ("three-files", "ext4", True),
        ("three-files", "xfs", True),
        ("first-tick", "ext4", True),
        ("overlays-laid", "ext4", True),
        ("ready", "ext4", False),
        ("seen", "ext4", False),
        ("seen", "xfs", True),
    ],
)
def test_in_mid_fetch(room: Room, moment: str, kind: str, journal: bool) -> None:
    with powered(room, kind) as pc:
        room.declare(section("el7"), allie="bandwidth = 4M")
        pc.tick()
        _await(pc, FETCH[moment])
        pc.lose_power(journal=journal)
        image = room.store / "images/el7"
        if _seen(pc.systems):
            _is(pc.systems / "el7", image)
            assert entry(pc, "el7")["state"] == "there"
        _base_is_whole(pc)
        pc.tick(rc=None)
        settles(pc, "el7")
        _is(pc.systems / "el7", image)
        pc.tick()
        assert os.listdir(pc.systems) == ["el7"]
        assert in_system(pc, "el7", "status").rc == 0


UPDATE: dict[str, Moment] = {
    "two-files": _came(2),
    "ready": _or(_phase(".el7.part", other_systems.READY), _aside),
    "aside": _aside,
    "switched": _switched,
}


@pytest.mark.parametrize(
    ("moment", "kind", "journal"),
    [
        ("two-files", "ext4", True),
        ("ready", "ext4", True),
        ("aside", "ext4", False),
        ("aside", "xfs", True),
        ("switched", "ext4", False),
        ("switched", "ext4", True),
    ],
)
def test_in_mid_update(room: Room, moment: str, kind: str, journal: bool) -> None:
    for image in ("el7", "el8"):
        (room.store / "images" / image / f"is-{image}").touch()
    old, new = (room.store / "images" / name for name in ("el7", "el8"))
    with powered(room, kind) as pc:
        room.declare(section("el7"))
        pc.tick()
        settles(pc, "el7")
        root = pc.systems / "el7"
        (root / "home/ann").mkdir(parents=True)
        (root / "home/ann/thesis").write_text("chapter 1\n")
        pc.disk.sync()
        room.declare(section("el7", image="el8"), allie="bandwidth = 4M")
        pc.tick(rc=None)
        _await(pc, UPDATE[moment])
        pc.lose_power(journal=journal)
        _is(root, new if _switched(pc.systems) else old)
        assert entry(pc, "el7")["state"] == "there"
        assert in_system(pc, "el7", "run-conf").rc == 0, "it is in use at once"
        _base_is_whole(pc)
        pc.tick(rc=None)
        settles(pc, "el7", "el8")
        pc.tick()
        _is(root, new)
        assert (root / "home/ann/thesis").read_text() == "chapter 1\n"
        assert sorted(os.listdir(pc.systems)) == [".el7.other", "el7"]
        pc.run("system", "rollback", "el7").ok()
        _is(root, old)
        assert (root / "home/ann/thesis").read_text() == "chapter 1\n"
