"""A new image reaches a room of PCs by itself: the store is edited, and the hours pass."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.systems.room import Room, entry, kill, processes_of, section
from tests.tick.site import TickPC, script
from tests.worlds.debian import UnavailableError, debian_root
from tests.worlds.toy import make_tree
from tests.worlds.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.root]
SIZE = 12  # MiB


def _hour(pcs: list[TickPC]) -> None:
    """An hour goes by: each PC that is on has its tick."""
    with ThreadPoolExecutor(2) as pool:
        for done in pool.map(lambda pc: pc.run("run-conf"), pcs):
            assert done.rc == 0, (done.out, done.err)


def _quiet(pcs: list[TickPC]) -> bool:
    return not any(processes_of(pc.root) for pc in pcs)


def _have(pc: TickPC, number: int) -> bool:
    part = pc.root / "systems/.el8.part/usr/share"
    return len(list(part.glob("[0-9]*"))) >= number


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_new_image_reaches_five_pcs(tmp_path: Path) -> None:
    with Room(tmp_path) as room:
        room.declare()
        room.overlay({"etc/motd": "common\n", "root/conf/50once": script("echo x >>/ran")})
        pcs = [room.pc(f"pc0{number}") for number in range(1, 6)]
        off, interrupted = pcs[3], pcs[4]
        on = [pc for pc in pcs if pc is not off]
        _hour(pcs)
        # The administrator's whole work: the image, and its name in an overlay.
        room.heavy_image("el8", SIZE)
        room.declare(section("el8"), allie="bandwidth = 2M")
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda pc: pc.run("run-conf"), on))
        for number in (2, 6):
            until(partial(_have, interrupted, number), "some of it came")
            kill(processes_of(interrupted.root))  # somebody presses the button
            until(partial(_quiet, [interrupted]), "it is off")
            assert not (interrupted.root / "systems/el8").exists()
            _hour([interrupted])
        until(partial(_quiet, on), "the fetches end")
        _hour(on)
        for pc in on:
            _is_whole(room, pc)
        assert not (off.root / "systems").exists()
        _hour([off])  # it is switched on
        until(partial(_quiet, [off]), "its fetch ends")
        _hour(pcs)
        for pc in pcs:
            _is_whole(room, pc)
            assert pc.run("status").rc == 0
        _upgrade(room, pcs)


def _is_whole(room: Room, pc: TickPC) -> None:
    assert entry(pc, "el8")["state"] == "there", pc.root.name
    root = pc.root / "systems/el8"
    for path in (room.store / "images/el8/usr/share").iterdir():
        assert (root / "usr/share" / path.name).read_bytes() == path.read_bytes()
    assert (root / "etc/hostname").read_text() == f"{pc.root.name}\n"
    assert (root / "etc/motd").read_text() == "common\n"
    assert (root / "ran").read_text() == "x\n"


def _upgrade(room: Room, pcs: list[TickPC]) -> None:
    """The next release, as another image: each PC switches, and somebody is inside one of them."""
    room.image("el9", {"etc/release": "nine\n"})
    with subprocess.Popen(
        ["chroot", str(pcs[0].root / "systems/el8"), "/bin/sh", "-c", "read x; cat /etc/release"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as user:
        room.declare(section("el8", image="el9"))
        _hour(pcs)
        until(partial(_quiet, pcs), "the updates end")
        _hour(pcs)
        for pc in pcs:
            assert pc.read("systems/el8/etc/release") == "nine\n"
            assert entry(pc, "el8")["previous"] == "el8"
        assert user.communicate("go on\n")[0] == "one\n", "undisturbed"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_debian_is_brought_upgraded_and_rolled_back(tmp_path: Path) -> None:
    """A real system, with its setuid programs and hard links; no Python and no rsync in it."""
    with Room(tmp_path) as room:
        try:
            image = debian_root("bookworm", room.store / "images/deb12")
        except UnavailableError as error:
            pytest.skip(str(error))
        room.declare(section("deb12"))
        room.overlay({"etc/motd": "common\n"})
        pc = room.pc("pc07")
        until(partial(_quiet, [pc]), "the fetch ends")
        assert entry(pc, "deb12")["state"] == "there"
        root = pc.root / "systems/deb12"
        compare = ["rsync", "-aHAXn", "--delete", "--out-format=%i %n", f"{image}/", f"{root}/"]
        found = subprocess.run(compare, check=True, capture_output=True, text=True).stdout
        other = {line.split(None, 1)[1].rstrip("/") for line in found.splitlines()}
        ours = (
            "etc",
            "root",
            "usr/local",
            "var/lib/allie",
            "var/log/allie",
            "run",
            "var/log",
            "home",
        )
        left = {name for name in other if not name.startswith(ours) and name not in ("./", ".")}
        assert left <= {"var/lib", "usr", "var"}, "all else is the image, byte for byte"
        make_tree(image, {"etc/issue": "Debian, upgraded\n"})
        sent = room.sent
        pc.run("system", "update", "deb12", timeout=300).ok()
        assert room.sent - sent < 1_000_000
        assert (root / "etc/issue").read_text() == "Debian, upgraded\n"
        said = pc.run("--system", "deb12", "status")
        assert said.rc == 0, said.out
        pc.run("system", "rollback", "deb12").ok()
        assert "upgraded" not in (root / "etc/issue").read_text()
