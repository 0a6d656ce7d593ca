"""A ring is a link within its own module, served by a daemon as by a path.

docs/internals/rules.md, "A ring stays within its module".
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.worlds.one_pc import World
from tests.worlds.store import served
from tests.worlds.toy import Link, make_tree

pytestmark = [pytest.mark.real, pytest.mark.root]


@pytest.mark.parametrize("by", ["daemon", "path"])
def test_a_ring_is_followed_to_its_release(tmp_path: Path, by: str) -> None:
    world = World(tmp_path, {"etc/a": "working tree\n"})
    releases = world.store / "releases/common"
    make_tree(releases, {"1/etc/a": "one\n", "2/etc/a": "two\n", "2/etc/b": "b\n"})
    make_tree(releases, {"stable": Link("1"), "test": Link("2")})
    with served(world.store) as server:
        store = server.url if by == "daemon" else ""
        world.follow(store=store, ring="stable")
        world.good()
        assert world.read("etc/a") == "one\n"
        (releases / "stable").unlink()
        make_tree(releases, {"stable": Link("2")})
        world.good()
        assert world.read("etc/a") == "two\n"
        (releases / "stable").unlink()
        make_tree(releases, {"stable": Link("1")})  # a rollback is a promotion, too
        world.good()
        assert world.read("etc/a") == "one\n"
        assert not world.there("etc/b")


def test_a_ring_that_leads_out_of_its_module_brings_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n"})
    make_tree(world.store / "releases/common/1", {"etc/a": "one\n"})
    make_tree(world.store / "releases/common", {"stable": Link("1")})
    with served(world.store) as server:
        world.follow(store=server.url, ring="stable")
        world.good()
        (world.store / "releases/common/stable").unlink()
        make_tree(world.store / "releases/common", {"stable": Link("../../overlays/common")})
        done = world.tick()
        assert done.rc == 1
        assert world.read("etc/a") == "one\n"


def test_a_ring_that_is_missing_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n"})
    world.good()
    world.follow(ring="nosuch")
    assert world.tick().rc == 1
    assert world.read("etc/a") == "1\n"


def test_a_release_with_the_times_of_another_is_another(tmp_path: Path) -> None:
    """As reproducible archives leave them: what differs has the same size and time."""
    world = World(tmp_path, {"etc/a": "1\n"})
    releases = world.store / "releases/common"
    make_tree(releases, {"1/etc/a": "one\n", "2/etc/a": "two\n", "2/etc/b": "b\n"})
    make_tree(releases, {"stable": Link("1")})
    for path in releases.rglob("*"):
        os.utime(path, (1_700_000_000, 1_700_000_000), follow_symlinks=False)
    world.follow(ring="stable")
    world.good()
    (releases / "stable").unlink()
    make_tree(releases, {"stable": Link("2")})
    assert world.tick(env={"ALLIE_ROUTINE": "1"}).rc == 0
    assert world.read("etc/a") == "two\n"
