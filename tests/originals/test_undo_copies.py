"""Undo keeps the last ten ticks that changed something, 30 days and 200 MB at most.

docs/internals/rules.md, "What stood there first is kept once".
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.apply.test_unusable_places import TROUBLES
from tests.worlds.one_pc import World
from tests.worlds.toy import Dir, make_tree

pytestmark = [pytest.mark.real, pytest.mark.root]


def _kept(world: World) -> list[int]:
    return sorted(int(name) for name in os.listdir(world.state("undo")))


def _change(world: World, content: str) -> None:
    world.put({"etc/a": content})
    world.tick().ok()


def test_ten_ticks_are_kept(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "0\n"})
    world.good()
    for number in range(12):
        _change(world, f"{number}, not as before\n" + "x" * number)
    kept = _kept(world)
    assert len(kept) == 10
    assert (world.state("undo") / str(kept[0]) / "overlay/files/etc/a").read_text() == (
        "1, not as before\nx"
    )


@pytest.mark.parametrize("how", ["an immutable directory", "a read-only mount", "answers EIO"])
def test_a_tick_that_could_change_nothing_is_none_of_them(tmp_path: Path, how: str) -> None:
    world = World(tmp_path, {"etc/a": "0\n", "srv/p/f": "1\n", "srv/p/gone": "g\n"})
    world.good()
    _change(world, "1, not as before\n")
    kept = _kept(world)
    world.put({"srv/p/f": "22\n", "srv/p/new/f": "n\n"})
    world.take("srv/p/gone")
    with TROUBLES[how](world.at("srv/p")):
        for _ in range(2):
            assert world.tick().rc == 1
        assert _kept(world) == kept
        world.pc.run("undo").ok()
    assert world.read("etc/a") == "0\n"


@pytest.mark.parametrize("trouble", ["old", "large"])
def test_what_is_old_or_large_goes_and_the_newest_stays(tmp_path: Path, trouble: str) -> None:
    world = World(tmp_path, {"etc/a": "0\n"})
    world.good()
    for number in range(3):
        _change(world, f"{number}\n" * (number + 1))
        if number < 2 and trouble == "large":  # the next tick replaces and keeps it
            os.truncate(world.root / "etc/a", 150 << 20)
    before = _kept(world)
    for number in before[:-1] if trouble == "old" else ():
        month = time.time() - 31 * 86400
        os.utime(world.state("undo") / str(number), (month, month))
    _change(world, "the newest\n")
    kept = _kept(world)
    assert kept[-1] > before[-1]
    assert kept[:-1] == before[-1:], "the one that is neither old nor beyond the limit"


def test_what_nobody_would_keep_is_not_replaced(tmp_path: Path) -> None:
    """It is said, and stays as it is: refused rather than lost."""
    world = World(tmp_path, {"home/ann/a": "0\n", "etc/b": "0\n", "home/ann": Dir(owner=(7, 7))})
    world.good()
    os.truncate(world.root / "home/ann/a", 201 << 20)
    world.put({"home/ann/a": "1\n", "etc/b": "1\n"})
    done = world.tick()
    assert done.rc == 1
    assert "/home/ann/a" in done.out
    assert world.read("etc/b") == "1\n"
    assert world.at("home/ann/a").stat().st_size == 201 << 20
    world.at("home/ann/a").unlink()
    world.good()


@pytest.mark.parametrize("known", [False, True], ids=["taken over", "drifted"])
def test_a_large_file_of_roots_alone_is_replaced(tmp_path: Path, known: bool) -> None:
    """Nobody but root could make it; it is kept as long as there is room."""
    world = World(tmp_path, {"etc/b": "0\n"})
    if known:
        world.put({"usr/share/firmware": "0\n"})
    world.good()
    make_tree(world.root, {"usr/share/firmware": "first\n"})
    os.truncate(world.root / "usr/share/firmware", 201 << 20)
    world.put({"usr/share/firmware": "1\n", "etc/b": "1\n"})
    world.good()
    assert world.read("usr/share/firmware") == "1\n"
    world.pc.run("undo").ok()
    assert world.at("usr/share/firmware").stat().st_size == 201 << 20
