"""What tests of systems share: a PC, and the mount that they leave on purpose."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import leftovers
from tests.systems.room import Room, settles
from tests.tick.site import TickPC


@pytest.fixture(autouse=True)
def _no_fences(tmp_path: Path) -> Iterator[None]:
    """On a PC it stays until the last system is removed; here it goes with the test."""
    yield
    for point in leftovers.mounts_below(tmp_path):
        if Path(point).name == "systems":
            subprocess.run(["umount", "--lazy", point], check=False)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    """A store with an image and an overlay; most modules have one of their own."""
    with Room(tmp_path) as made:
        made.image("el7")
        made.overlay({"etc/motd": "common\n"})
        yield made


@pytest.fixture
def pc(room: Room) -> TickPC:
    """A PC of the module's own room, on which its system el7 has arrived."""
    made = room.pc("pc07")
    settles(made, "el7")
    return made
