"""A second server that lags behind takes nothing away.

docs/internals/rules.md, "A second server may lag behind".
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from allie.client.mirror.stores import in_own_order
from allie.core.conf import settings
from tests.worlds.one_pc import World

pytestmark = [pytest.mark.real, pytest.mark.root]


def two_servers(tmp_path: Path, tree: dict[str | bytes, str]) -> tuple[World, Path, Path]:
    """A PC with two servers of the same overlays; its usual one, and the other."""
    world = World(tmp_path, tree)
    other = tmp_path / "other"
    shutil.copytree(world.store, other, symlinks=True)
    world.follow(store=f"{world.store}, {other}")
    known = settings.parse(world.read("etc/allie/allie.conf"), "toy")
    first, second = (Path(each) for each in in_own_order(known))
    world.good()
    return world, first, second


def away(path: Path) -> None:
    path.rename(path.with_suffix(".away"))


def back(path: Path) -> None:
    path.with_suffix(".away").rename(path)


def test_a_lagging_server_does_not_withdraw(tmp_path: Path) -> None:
    world, first, second = two_servers(tmp_path, {"etc/a": "1\n", "etc/b": "1\n"})
    (first / "overlays/common/etc/new").write_text("n\n")
    world.good()
    away(first)
    world.tick()
    assert world.read("etc/new") == "n\n"
    back(first)
    (second / "overlays/common/etc/new").write_text("n\n")
    world.good()
    contact = json.loads(world.state("contact").read_text())
    assert contact["trouble"] == ""


def test_after_a_day_it_is_believed(tmp_path: Path) -> None:
    world, first, _ = two_servers(tmp_path, {"etc/a": "1\n", "etc/b": "1\n"})
    (first / "overlays/common/etc/new").write_text("n\n")
    world.good()
    away(first)
    world.tick()
    assert world.there("etc/new")
    contact = json.loads(world.state("contact").read_text())
    for name in ("good", "answered"):
        contact[name] -= 25 * 3600
    world.state("contact").write_text(json.dumps(contact))
    world.tick()
    assert not world.there("etc/new")


def test_it_may_bring_new_files(tmp_path: Path) -> None:
    world, first, second = two_servers(tmp_path, {"etc/a": "1\n"})
    away(first)
    (second / "overlays/common/etc/new").write_text("n\n")
    world.tick().ok()
    assert world.read("etc/new") == "n\n"


def test_the_usual_server_may_withdraw_after_the_other_stood_in(tmp_path: Path) -> None:
    world, first, second = two_servers(tmp_path, {"etc/a": "1\n", "etc/b": "1\n"})
    away(first)
    world.tick().ok()
    back(first)
    (first / "overlays/common/etc/b").unlink()
    world.good()
    assert not world.there("etc/b")
    assert second.exists()


def test_a_server_that_allie_conf_names_no_more_is_not_stood_in_for(tmp_path: Path) -> None:
    world, first, second = two_servers(tmp_path, {"etc/a": "1\n", "etc/b": "1\n"})
    (second / "overlays/common/etc/b").unlink()
    world.follow(store=str(second))
    world.good()
    assert not world.there("etc/b")
    assert first.exists()
