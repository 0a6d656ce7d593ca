"""A host that is retired with `--withdraw`: what is its own goes from its disk with one tick."""

from __future__ import annotations

from pathlib import Path

import pytest

from allie.server.doors import host_places
from allie.server.places import Places
from tests.mirror.test_own_door import SECRET, Own
from tests.worlds.ssh_door import SshDoor
from tests.worlds.toy import Tree, make_tree

pytestmark = [pytest.mark.real, pytest.mark.root]


def test_its_next_tick_withdraws_all_and_keeps_what_is_common(tmp_path: Path) -> None:
    for name in ("overlays", "images", "releases"):
        (tmp_path / "store" / name).mkdir(parents=True)
    with SshDoor(tmp_path / "store") as door:
        world = Own(tmp_path, door)
        world.enrol()
        many: Tree = {
            f"etc/keys/{number}": "key\n" for number in range(30)
        }  # more than goes unasked
        make_tree(world.place, many)
        world.good()
        assert world.read("etc/secret") == "pc07's own\n"
        places = Places(str(world.store), f"{world.store}/etc")
        kept = Path(host_places.empty(places, "pc07"))
        assert {*map(str, many), *map(str, SECRET)} <= {
            str(each.relative_to(kept)) for each in kept.rglob("*")
        }
        world.tick().ok()
        assert not world.there("etc/secret")
        assert not world.there("etc/keys")
        assert world.read("etc/motd") == "common\n"
        assert not list(world.state("mirror/current/private").rglob("secret"))
        world.good()
