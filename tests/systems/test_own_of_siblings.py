"""What is one host's own comes to each of its systems: they are one host, with one key.

docs/internals/rules.md, "Two doors, one generation".
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.systems.room import Room, arrives, in_system, section
from tests.worlds.ssh_door import SshDoor, make_key
from tests.worlds.toy import File, Tree, make_tree

pytestmark = [pytest.mark.real, pytest.mark.root]


def test_each_system_of_a_pc_gets_what_is_its_own(tmp_path: Path) -> None:
    key = tmp_path / "key"
    public = make_key(key)
    host: Tree = {
        "etc/ssh/ssh_host_ed25519_key": File(key.read_bytes(), 0o600),
        "etc/ssh/ssh_host_ed25519_key.pub": f"{public}\n",
    }
    with Room(tmp_path) as room, SshDoor(room.store) as door:
        shutil.rmtree(room.image("el7") / "etc/ssh")  # an image without ssh is that host, too
        room.overlay({"etc/motd": "common\n"})
        room.declare(section("el7"), allie=f"own = {door.url}")
        door.enrol("pc07", public)
        secrets: Tree = {
            "etc/secret": File("pc07's\n", 0o600),
            "etc/motd##image.el7": "el7's own\n",
        }
        make_tree(room.store / "private/pc07", secrets)
        pc = room.pc("pc07", host)
        arrives(pc, "el7")
        root = pc.root / "systems/el7"
        for system in (pc.root, root):
            assert (system / "etc/secret").read_text() == "pc07's\n"
            assert (system / "etc/ssh/ssh_host_ed25519_key").read_bytes() == key.read_bytes()
            pinned = (system / "etc/allie/known_hosts").read_text()
            assert pinned == f"allie-store {door.host_key}\n"
        assert (root / "etc/motd").read_text() == "el7's own\n"
        assert (pc.root / "etc/motd").read_text() == "common\n"

        make_tree(room.store / "private/pc07", {"etc/secret": File("another\n", 0o600)})
        pc.tick()
        assert (root / "etc/secret").read_text() == "another\n"
        assert door.url in in_system(pc, "el7", "status").ok().out
        pc.run("99report").ok()
        told = json.loads((room.store / "inbox/pc07/report").read_text())["systems"]
        assert [each["system"] for each in told] == ["pc", "el7"]
        assert "etc/secret" in told[1]["changed"]["did"]["changed"]
        assert not (root / "var/lib/allie/report-sent").exists(), "the PC tells of it"
