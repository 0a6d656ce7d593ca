"""RULES B13: paths that an overlay must not hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rules.helpers import World, snapshot
from tests.worlds.toy import make_tree

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
