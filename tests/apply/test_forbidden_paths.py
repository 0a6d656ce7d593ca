"""Paths that an overlay must not hold.

docs/internals/rules.md, "Paths that no overlay may hold".
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.worlds.one_pc import World, snapshot
from tests.worlds.toy import File, Link, make_tree

pytestmark = [pytest.mark.real, pytest.mark.root]


@pytest.mark.parametrize(
    "name",
    [
        "var/lib/allie/ledger",
        "var/lib/allie/mirror/9/x",
        "var/lib/allie-code/x/complete",
        "root/done/50x",
        "etc/allie/system",
        "proc/x",
        "sys/x",
        "dev/null",
        "run/x",
        "var/run/x",  # really /run/x
        "etc/allie/system##host.pc07",
    ],
)
def test_an_overlay_must_not_hold(tmp_path: Path, name: str) -> None:
    world = World(tmp_path, {name: "theirs\n", "etc/e": "e\n"})
    make_tree(world.root, {"root/done/49w": "done\n"})
    before = snapshot(world.root)
    done = world.tick()
    assert done.rc == 1, done.out
    assert world.read("etc/e") == "e\n"
    after = snapshot(world.root)
    assert [each for each in after if each not in before] == ["etc/e"]
    for each in ("root/done/49w", "etc/allie/system"):
        assert after[each] == before[each]
    assert not world.there("run/x")
    world.steady(rc=1)


def test_a_name_as_long_as_a_name_can_be_is_placed(tmp_path: Path) -> None:
    """In pristine/ and undo/ there is room for it, too."""
    names = "a" * 255, "." + "a" * 254, "ü" * 127
    world = World(tmp_path, {f"etc/{each}": f"{each}\n" for each in names})
    make_tree(world.root, {f"etc/{each}": "before\n" for each in names})
    world.put({"etc/e": "e\n"})
    world.good()
    assert [world.read(f"etc/{each}") for each in names] == [f"{each}\n" for each in names]
    world.take(*(f"etc/{each}" for each in names))
    world.good()
    assert [world.read(f"etc/{each}") for each in names] == ["before\n"] * 3
    world.pc.run("undo").ok()
    assert [world.read(f"etc/{each}") for each in names] == [f"{each}\n" for each in names]


def test_the_length_counts_after_the_tag_is_taken_off(tmp_path: Path) -> None:
    world = World(tmp_path, {f"etc/{'a' * 230}##host.pc07": "x\n"})
    world.good()
    assert world.read(f"etc/{'a' * 230}") == "x\n"


@pytest.mark.parametrize(
    ("path", "made"),
    [
        ("root/conf", "a file\n"),
        ("root/conf##host.pc07", "a file\n"),
        ("root/conf##absent", ""),
        ("root/conf", Link("/tmp")),
        ("root", Link("/tmp")),
        ("var", "a file\n"),
        ("usr/local", "a file\n"),
        ("root/conf/00overlay/x", "in a directory\n"),
    ],
)
def test_what_allie_needs_stays_what_it_is(tmp_path: Path, path: str, made: Any) -> None:
    """Else all below it would go, and no tick come any more."""
    world = World(tmp_path, {"etc/motd": "1\n"})
    runs = File("#!/bin/sh\n", mode=0o755)  # else they could not be run, and would not come
    kit = {"root/conf/00overlay": runs, "root/conf/run-conf": runs}
    world.put({**kit, "usr/local/tool": "a tool\n"}, "kit")
    world.good()
    world.put({path: made})
    assert world.tick().rc == 1
    assert [world.read(name) for name in kit] == [runs.content] * 2
    assert world.read("usr/local/tool") == "a tool\n"
    top = world.overlay() / "/".join(path.split("/")[:3])
    shutil.rmtree(top) if top.is_dir() and not top.is_symlink() else top.unlink()
    world.put({"etc/motd": "2\n"})
    world.good()
    assert world.read("etc/motd") == "2\n"
