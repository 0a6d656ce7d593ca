"""A quick tick asks both doors; with a host's own that costs one connection by ssh.

docs/internals/rules.md, "Two doors, one generation".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tick.test_quick import Quick
from tests.worlds.ssh_door import SshDoor, make_key
from tests.worlds.toy import File, make_tree

pytestmark = [pytest.mark.real, pytest.mark.root]


class QuickOwn(Quick):
    """The same with a door of its own."""

    def __init__(self, top: Path, door: SshDoor) -> None:
        self.door = door
        make_tree(top / "store", {"private/pc07/etc/secret": File("1\n", 0o600)})
        super().__init__(top)

    def follow(self, overlays: str = "common", store: str = "", **_: Any) -> None:
        """As before, with `own`."""
        place = self.root / "etc/ssh"
        if not place.exists():
            place.mkdir()
            self.door.enrol("pc07", make_key(place / "ssh_host_ed25519_key"))
        super().follow(overlays, store, own=self.door.url)

    @property
    def asked(self) -> int:
        """How often its own door was asked."""
        return self.door.log.count("Accepted publickey")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[QuickOwn]:
    for name in ("overlays", "images", "releases"):
        (tmp_path / "store" / name).mkdir(parents=True)
    with SshDoor(tmp_path / "store") as door:
        yield QuickOwn(tmp_path, door)


def test_both_doors_are_asked_once(world: QuickOwn) -> None:
    assert world.read("etc/secret") == "1\n"
    before = world.asked
    assert world.is_quick()
    assert world.asked == before + 1
    asked = [" ".join(each) for each in world.note()["questions"]]
    assert ["allie-store@127.0.0.1::private/" in each for each in asked] == [False, True]


def test_what_changes_behind_either_door_is_for_a_whole_tick(world: QuickOwn) -> None:
    make_tree(world.store, {"private/pc07/etc/secret": File("another\n", 0o600)})
    before = world.asked
    assert not world.is_quick()
    assert world.asked == before + 3, "one question, one fetch, and the report, as that is news"
    assert world.read("etc/secret") == "another\n"
    world.settle()
    world.put({"etc/b": "new\n"})
    assert not world.is_quick()
    world.settle()


def test_a_door_that_refuses_or_is_away_is_for_a_whole_tick(world: QuickOwn) -> None:
    world.door.retire("pc07")
    done = world.run()
    assert done.rc == 1
    assert "waits to be enrolled" in done.out
    assert not world.is_quick()
    world.door.stop()
    assert not world.is_quick()
    assert world.read("etc/secret") == "1\n"
    assert "; for " in world.pc.run("status").out
