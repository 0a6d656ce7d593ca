"""Another system of a PC whose root is an overlayfs: a frozen PC, live media."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.apply.test_file_systems import frozen
from tests.systems.room import Room
from tests.tick.site import TickPC
from tests.worlds.toy import make_tree

pytestmark = [pytest.mark.real, pytest.mark.root]


def test_one_in_the_lower_layer_is_ticked_and_not_updated(tmp_path: Path) -> None:
    with Room(tmp_path) as room:
        image = room.image("el7")
        room.overlay({"etc/motd": "common\n"})
        disk = room.pc("pc07")
        add = "system", "add", "el7", "--in", "/systems/el7", "--image", "el7"
        disk.run(*add, "--overlays", "kit,common").ok()
        with frozen(disk.root, tmp_path / "frozen", "redirect_dir=off"):
            pc = TickPC(tmp_path / "frozen")
            room.overlay({"etc/motd": "another\n"})
            pc.run("run-conf").ok()
            system = pc.root / "systems/el7"
            assert (system / "etc/motd").read_text() == "another\n"
            make_tree(image, {"etc/release": "two, and longer\n"})
            refused = pc.run("system", "update", "el7")
            assert refused.rc and "lower layer of an overlayfs" in refused.err
            assert not list(system.parent.glob(".el7*"))
            pc.run("system", "remove", "el7").ok()
            pc.run(*add, "--overlays", "kit,common").ok()
            assert (system / "etc/release").read_text() == "two, and longer\n"
            make_tree(image, {"etc/release": "three\n"})
            pc.run("system", "update", "el7").ok()
            assert (system / "etc/release").read_text() == "three\n"
            pc.run("system", "rollback", "el7").ok()
            assert (system / "etc/release").read_text() == "two, and longer\n"
