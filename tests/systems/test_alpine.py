"""A real Alpine as a PC's second system: musl, OpenRC and busybox; no Python, no rsync, no bash."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systems.room import Room, in_system, section, settles
from tests.tick.site import TickPC, script
from tests.use.world import Base, possible
from tests.worlds.alpine import alpine_tar
from tests.worlds.debian import UnavailableError

pytestmark = [pytest.mark.real, pytest.mark.root, pytest.mark.slow]
LACKS = ("usr/bin/python3", "usr/bin/rsync", "bin/bash", "bin/systemctl")


def _import(room: Room, name: str, archive: Path) -> Path:
    """An image of it in the store, as an administrator makes one."""
    argv = [sys.executable, "-m", "allie.cli.main", "image", "import", name, str(archive)]
    subprocess.run([*argv, "--store", str(room.store)], check=True, stdout=subprocess.DEVNULL)
    return room.store / "images" / name


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    try:
        archive = alpine_tar()
    except UnavailableError as error:
        pytest.skip(str(error))
    with Room(tmp_path) as made:
        image = _import(made, "alpine3", archive)
        assert not [name for name in LACKS if (image / name).exists()]
        made.overlay(
            {
                "etc/motd": "common\n",
                "etc/issue": "another\n",
                "etc/issue##distro.alpine": "alpine\n",
                "root/conf/50apk##distro.alpine": script("apk info -e busybox musl >/var/log/ran"),
                "root/conf/60musl##distro.alpine": script(
                    "# allie: every tick", "ls /lib/ld-musl-*.so.1 >>/var/log/ran"
                ),
            }
        )
        made.declare(section("alpine3"))
        yield made


def _arrived(room: Room) -> tuple[TickPC, Path]:
    pc = room.pc("pc07", {"usr/bin/apk": script("echo of the base")})
    settles(pc, "alpine3")
    return pc, pc.root / "systems/alpine3"


@pytest.mark.timeout(300)
def test_it_is_fetched_ticked_and_put_right(room: Room) -> None:
    pc, root = _arrived(room)
    assert (root / "etc/issue").read_text() == "alpine\n", "its own facts choose"
    ran = (root / "var/log/ran").read_text().split()
    assert ran[:2] == ["busybox", "musl"], "its own apk ran, in its own root"
    assert ran[2].startswith("/lib/ld-musl-")
    (root / "etc/motd").write_text("drifted\n")
    scripts = pc.tick()
    assert scripts["98systems"]["state"] == "satisfied", scripts
    assert (root / "etc/motd").read_text() == "common\n"
    assert len((root / "var/log/ran").read_text().split()) == 4, (
        "one script ran once, one at each tick"
    )
    status = in_system(pc, "alpine3", "status", "--json").ok().json
    assert (status["system"], status["image"], status["paused"]) == ("alpine3", "alpine3", "")
    assert {each["state"] for each in status["scripts"]} == {"satisfied"}


@pytest.mark.timeout(300)
def test_its_image_is_brought_up_to_date_and_back(room: Room) -> None:
    pc, root = _arrived(room)
    assert "already as the image" in pc.run("system", "update", "alpine3").ok().out
    image = room.store / "images/alpine3"
    (image / "usr/bin/new").write_text("#!/bin/sh\necho new\n")
    (image / "usr/bin/new").chmod(0o755)
    (image / "etc/modules").unlink()
    (root / "etc/hostname").write_text("pc07\n")
    (root / "home/notes").write_text("a person's\n")
    pc.run("system", "update", "alpine3").ok()
    assert (root / "usr/bin/new").exists()
    assert not (root / "etc/modules").exists()
    assert (root / "etc/issue").read_text() == "alpine\n"
    assert (root / "home/notes").read_text() == "a person's\n"
    pc.run("system", "rollback", "alpine3").ok()
    assert not (root / "usr/bin/new").exists()
    assert (root / "etc/modules").exists()
    scripts = pc.tick()
    assert scripts["98systems"]["state"] == "satisfied", scripts


@pytest.mark.timeout(300)
def test_people_enter_it(room: Room, tmp_path: Path) -> None:
    if not possible():
        pytest.skip("needs root, and namespaces for users")
    _, root = _arrived(room)
    with Base(tmp_path / "base", {"deb": root}) as base:
        said = base.sh("deb", ". /etc/os-release; echo $ID; id -un; ls -d ~; hostname").ok()
        assert said.lines == ["alpine", "ann", "/home/ann", "thebase.example"]
        assert base.sh("deb", "/sbin/apk info -e musl; exit 42") == (42, "musl\n", "")
        assert base.sh("deb", "command -v python3").rc != 0
        assert base.sh("deb", "echo x > /etc/motd").rc != 0, "a user changes nothing of it"
        assert base.sh("deb", "id -un; cat /etc/motd", root=True).ok().lines == ["root", "common"]
        assert base.enter("deb", "sh", "-lc", "echo $ALLIE_SYSTEM").ok().lines == ["deb"]
