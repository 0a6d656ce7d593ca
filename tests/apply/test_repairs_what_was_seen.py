"""What putting files in place must do, for drift and for odd names.

docs/internals/rules.md, "What was seen is put right".
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.worlds.one_pc import World, injected, snapshot, thing
from tests.worlds.toy import File

pytestmark = [pytest.mark.real, pytest.mark.root]


def test_drift_with_the_same_size_and_mtime_is_put_right_and_saved(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/f": File("AAAA\n", mtime=1_600_000_000)})
    world.good()
    world.at("etc/f").write_text("BBBB\n")
    os.utime(world.at("etc/f"), (1_600_000_000, 1_600_000_000))
    assert "drift: /etc/f" in world.good()
    assert world.read("etc/f") == "AAAA\n"
    saved = list(world.state("undo").glob("*/overlay/files/etc/f"))
    assert [path.read_text() for path in saved] == ["BBBB\n"]


@pytest.mark.parametrize("name", ["#f", ";f", "-n", "--delete", "./#x"[2:], "a b", "new\nline"])
def test_no_name_is_dropped_as_a_comment_or_taken_for_an_option(tmp_path: Path, name: str) -> None:
    world = World(tmp_path, {f"etc/{name}": "ours\n", name: "top\n"})
    world.good()
    assert world.read(f"etc/{name}") == "ours\n"
    assert world.read(name) == "top\n"
    world.take(f"etc/{name}", name)
    world.put({"etc/other": "x\n"})
    world.good()
    assert not world.there(f"etc/{name}")
    assert not world.there(name)


def test_a_mode_alone_is_put_right_as_a_new_file_with_a_backup(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/f": "same\n"})
    world.good()
    world.at("etc/f").chmod(0o600)
    inode = world.at("etc/f").stat().st_ino
    assert "drift: /etc/f" in world.good()
    assert stat.S_IMODE(world.at("etc/f").stat().st_mode) == 0o644
    assert world.at("etc/f").stat().st_ino != inode
    (saved,) = world.state("undo").glob("*/overlay/files/etc/f")
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600


def test_owner_alone_is_put_right(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/f": File("same\n", owner=(5, 6))})
    world.good()
    os.chown(world.at("etc/f"), 0, 0)
    assert "drift: /etc/f" in world.good()
    assert thing(str(world.at("etc/f"))).owner == (5, 6)


def test_files_that_no_overlay_names_are_never_touched(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/d/ours": "1\n"}, root={"etc/d/theirs": "t\n", "srv/x": "y\n"})
    before = snapshot(world.root)
    world.good()
    world.put({"etc/d/ours": "2\n", "etc/d/more": "3\n"})
    world.good()
    after = snapshot(world.root)
    for name in before:
        if name not in (".", "etc", "etc/d", "var", "var/lib"):
            assert after[name] == before[name], name


RENAMES_NOTHING = """
from allie.client.apply import placing
placing.Placer._take_its_place = lambda *args: None
"""


def test_a_path_is_verified_even_when_the_call_says_that_all_is_well(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/f": "new\n", "etc/g": "new\n"}, root={"etc/f": "old\n"})
    done = world.tick(env=injected(tmp_path / "fault", RENAMES_NOTHING))
    assert done.rc == 1
    assert "left as it is: /etc/f" in done.out
    assert "left as it is: /etc/g" in done.out
    assert world.read("etc/f") == "old\n"
    world.good()
    assert world.read("etc/f") == "new\n"
    world.take("etc/f", "etc/g")
    world.put({"etc/h": "h\n"})
    world.good()
    assert world.read("etc/f") == "old\n"
