"""Undo, pause and resume.

docs/internals/rules.md, "Undo is followed by a pause".
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from allie.client.state import records
from allie.core import forbidden_paths
from allie.machine.roots.open_system import open_system
from allie.server import kit
from tests.worlds.one_pc import World, mounted, plain, snapshot
from tests.worlds.toy import File, Link, make_tree

pytestmark = [pytest.mark.real, pytest.mark.root]


def test_undo_puts_everything_back_and_pauses(tmp_path: Path) -> None:
    world = World(
        tmp_path,
        {"etc/a": "1\n", "etc/new": "1\n", "srv/d/e/f": "1\n", "etc/l": Link("x")},
        root={"etc/a": File("before\n", 0o600, owner=(5, 6)), "etc/l": "was a file\n"},
    )
    before = plain(snapshot(world.root))
    world.good()
    world.pc.run("undo").ok()
    assert plain(snapshot(world.root)) == before
    world.good()  # paused: changes nothing
    assert plain(snapshot(world.root)) == before
    world.pc.run("resume").ok()
    world.good()
    assert world.read("etc/a") == "1\n"
    world.take("etc/a", "etc/l")
    world.good()
    assert world.read("etc/a") == "before\n"  # the pristine is the same as ever


def test_withdrawn_files_return_and_go_again(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n", "etc/b": "b\n"}, root={"etc/a": "before\n"})
    world.good()
    world.take("etc/a")
    world.good()
    world.pc.run("undo").ok()
    assert world.read("etc/a") == "1\n"
    world.pc.run("resume").ok()
    world.good()
    assert world.read("etc/a") == "before\n"


def test_several_ticks_newest_first(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n", "etc/v##host.pc07": "1\n"})
    world.tick().ok()
    first = int(world.state("tick").read_text()) + 1
    for text in ("2\n", "3\n", "4\n"):
        world.put({"etc/a": text, "etc/v##host.pc07": text})
        world.tick().ok()
    world.pc.run("undo", str(first)).ok()
    assert (world.read("etc/a"), world.read("etc/v")) == ("1\n", "1\n")


def test_back_over_changes_of_every_kind(tmp_path: Path) -> None:
    """What is there says where it came from; undo of all is undo of each, newest first."""
    world = World(tmp_path, {"etc/stays": ""}, root={"etc/a": "before\n", "etc/l": Link("x")})
    world.good()
    before = plain(snapshot(world.root))
    first = int(world.state("tick").read_text()) + 1
    world.put({"etc/a": "1\n", "etc/d/f": "1\n", "etc/l": "1\n", "etc/v##host.pc07": "1\n"})
    world.good()
    world.take("etc/d/f", "etc/v##host.pc07")
    world.put({"etc/d": "a file\n", "etc/v": "plain\n", "etc/l": Link("y"), "etc/e/f": "2\n"})
    world.good()
    world.take("etc/a", "etc/d", "etc/e/f")
    world.put({"etc/d/g": "3\n", "etc/e##absent": ""})
    world.good()
    done = world.pc.run("undo", str(first)).ok()
    assert plain(snapshot(world.root)) == before
    assert "put back: /etc/l" in done.out
    assert "etc/e/f" not in done.out, "it came and went"
    world.pc.run("resume").ok()
    world.good()
    assert world.read("etc/d/g") == "3\n"


def test_a_path_that_changed_since_is_left(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n", "etc/b": "1\n"}, root={"etc/a": "before\n"})
    world.good()
    world.at("etc/a").write_text("edited since\n")
    done = world.pc.run("undo")
    assert done.rc == 1
    assert "left" in done.err
    assert world.read("etc/a") == "edited since\n"
    assert not world.there("etc/b")


def test_what_a_place_refuses_is_undone_later(tmp_path: Path) -> None:
    """It is named, with the reason; what is back already is not named once more."""
    world = World(tmp_path, {"etc/a": "1\n", "srv/p/f": "1\n", "srv/p/g": "1\n"})
    world.good()
    world.put({"etc/a": "22\n", "srv/p/f": "22\n", "srv/p/g": "22\n", "srv/p/n": "n\n"})
    world.good()
    place = world.at("srv/p")
    with mounted(place, "--bind", source=str(place)):
        subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)
        done = world.pc.run("undo")
    assert done.rc == 1
    assert done.err.count("Read-only file system") == 3
    assert world.read("etc/a") == "1\n"
    done = world.pc.run("undo").ok()
    assert "etc/a" not in done.out
    assert [world.read(f"srv/p/{name}") for name in "fg"] == ["1\n", "1\n"]
    assert not world.there("srv/p/n")
    world.pc.run("undo").ok()
    assert not world.there("srv/p")


def test_undo_of_drift_brings_the_edit_back(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n"})
    world.good()
    world.at("etc/a").write_text("my edit\n")
    world.good()
    world.pc.run("undo").ok()
    assert world.read("etc/a") == "my edit\n"


def test_nothing_to_undo(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n"})
    assert world.pc.run("undo").rc == 64
    world.good()
    world.pc.run("undo").ok()
    assert world.pc.run("undo").rc == 64


def test_on_change_scripts_are_due_again_after_undo(tmp_path: Path) -> None:
    script = File("#!/bin/sh\n# allie: on-change /etc/a\n", 0o755)
    world = World(tmp_path, {"etc/a": "1\n"}, root={"root/conf/50x": script})
    world.good()
    make_tree(world.root, {"root/done/50x": "done\n"})
    world.pc.run("undo").ok()
    assert not world.there("root/done/50x")


def test_paused_a_tick_fetches_and_reports_and_changes_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n", "etc/b##host.pc07": "1\n"})
    world.good()
    world.pc.run("pause", "the printer is being moved").ok()
    world.put({"etc/a": "2\n", "etc/b##host.pc07": "2\n", "etc/c": "c\n"})
    world.at("etc/a").write_text("drift\n")
    before = snapshot(world.root)
    done = world.tick()
    assert "would be" in done.out
    assert snapshot(world.root) == before
    fetched = world.state("mirror/current/common/etc/c")
    assert fetched.read_text() == "c\n"
    world.pc.run("resume").ok()
    world.good()
    assert world.read("etc/a") == "2\n"


def test_undo_keeps_ten_ticks_at_most(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "0\n"})
    for number in range(13):
        world.put({"etc/a": f"{number}\n"})
        world.tick().ok()
    assert len(os.listdir(world.state("undo"))) == 10


def test_an_entry_that_no_manifest_confirms_is_never_restored(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n"}, root={"etc/a": "before\n", "etc/b": "b\n"})
    world.good()
    (place,) = world.state("undo").glob("*/overlay/files/etc")
    (place / "b").write_text("half a fi")
    world.pc.run("undo").ok()
    assert world.read("etc/b") == "b\n"
    assert world.read("etc/a") == "before\n"


def test_undo_finds_its_way_in_a_root_with_links(tmp_path: Path) -> None:
    world = World(tmp_path, {"lib/a": "1\n", "bin/x": "1\n"}, root={"usr/bin/x": "before\n"})
    world.good()
    world.pc.run("undo").ok()
    assert world.read("usr/bin/x") == "before\n"
    assert not world.there("usr/lib/a")
    assert os.readlink(world.at("lib")) == "usr/lib"


def test_the_kit_is_never_undone_nor_withdrawn_with_the_list(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n"}, overlays="kit, common")
    kit.write(str(world.overlay("kit")))
    world.put({"root/util/sub/notes": "1\n"}, "kit")
    world.tick().ok()
    done = world.pc.run("undo").ok()
    assert "the kit stays" in done.out
    assert not world.there("etc/a")
    needed = [*forbidden_paths.NEEDED, "root/util/sub/notes"]
    assert all(world.there(each) for each in needed)
    world.pc.run("resume").ok()
    world.good()
    assert world.read("etc/a") == "1\n"
    # A newer kit is undone as anything is; and what the kit has no more goes.
    world.take("root/util/sub/notes", overlay="kit")
    world.put({"root/util/more": "2\n"}, "kit")
    world.good()
    assert not world.there("root/util/sub")
    world.put({"root/util/more": "3\n"}, "kit")
    world.good()
    world.pc.run("undo").ok()
    assert world.read("root/util/more") == "2\n"
    world.pc.run("resume").ok()
    shutil.rmtree(world.overlay("kit") / "root/conf")
    said = world.tick()
    assert said.rc == 1
    assert "put `kit` back" in said.out
    assert all(world.there(each) for each in forbidden_paths.NEEDED)
    kit.write(str(world.overlay("kit")))
    world.good()


@pytest.mark.parametrize("counter", [None, "\0\0\0\0", "²", "9" * 5000, "1\n"], ids=repr)
def test_a_lost_or_damaged_counter_loses_no_edit(tmp_path: Path, counter: str | None) -> None:
    world = World(tmp_path, {"etc/a": "1\n", "etc/b": "1\n"})
    world.tick().ok()
    for edit in ("first edit\n", "second edit\n"):
        world.at("etc/a").write_text(edit)
        world.tick().ok()
    newest = max(map(int, os.listdir(world.state("undo"))))
    if counter is None:
        world.state("tick").unlink()
    else:
        world.state("tick").write_text(counter)
    world.at("etc/b").write_text("third edit\n")
    world.tick().ok()
    assert max(map(int, os.listdir(world.state("undo")))) > newest
    for name, edit in (("b", "third edit\n"), ("a", "second edit\n"), ("a", "first edit\n")):
        world.pc.run("undo").ok()
        assert world.read(f"etc/{name}") == edit
        world.at(f"etc/{name}").write_text("1\n")


def test_a_lost_counter_goes_on_after_what_was_reported(tmp_path: Path) -> None:
    """`log` shows ticks by their numbers, also where no copies of theirs are kept."""
    world = World(tmp_path, {"etc/a": "1\n"})
    world.state("").mkdir(parents=True)
    here = open_system(str(world.root))
    assert records.next_tick(here) == 1
    make_tree(world.root, {"var/lib/allie/report": "{}"})  # damaged, too
    (world.state("tick")).unlink()
    assert records.next_tick(here) == 1
    report = {"tick": 41, "system": "toy", "host": "h", "version": "1", "began": 1.0, "seconds": 1}
    make_tree(world.root, {"var/lib/allie/report": json.dumps(report)})
    (world.state("tick")).unlink()
    assert records.next_tick(here) == 42


def test_a_directory_that_is_not_empty_is_not_said_to_be_withdrawn(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/d/f": "1\n", "etc/e": "e\n"})
    world.good()
    make_tree(world.root, {"etc/d/own": "mine\n"})
    world.take("etc/d/f")
    said = world.good()
    assert "left: it is not empty: /etc/d" in said
    assert "withdrawn: /etc/d/f" in said
    assert world.read("etc/d/own") == "mine\n"
    world.pc.run("undo").ok()
    assert world.read("etc/d/f") == "1\n"
