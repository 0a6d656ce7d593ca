"""A link that is kept in undo/ leads nowhere (docs/internals/security.md, "One path's trouble")."""

from __future__ import annotations

from pathlib import Path

import pytest

from allie.client.originals.undo_copies import Backup
from allie.core.errors import PathRefused
from allie.machine.files import free_space
from tests.worlds.one_pc import World, injected
from tests.worlds.toy import Dir, File, Link, make_tree

pytestmark = [pytest.mark.real, pytest.mark.root]

ANN = 4242
# Where a directory of the overlay's is to come she puts a link, which goes to undo; and a file into
# the directory, as soon as that is there.
PUTS = """
import os
from allie.client.apply import placing
real_directory, real_rename = placing.Placer._directory, placing.Placer._rename
where = {root!r} + "/home/ann/d"
def directory(placer, step):
    if step.real == "home/ann/d":
        os.symlink({outside!r}, where)
    real_directory(placer, step)
def rename(placer, path):
    real_rename(placer, path)
    if path == "home/ann/{last}":
        with open(where + "/{target}", "w") as file: file.write("ann's")
placing.Placer._directory, placing.Placer._rename = directory, rename
"""


@pytest.mark.parametrize(("target", "last"), [("conf", "d"), ("sub/conf", "d/sub")])
def test_nothing_is_kept_through_a_link(tmp_path: Path, target: str, last: str) -> None:
    outside = tmp_path / "outside"
    make_tree(outside, {target: "root's\n"})
    before = sorted(outside.rglob("*"))
    world = World(tmp_path, {"etc/motd": "1\n"}, root={"home/ann": Dir(owner=(ANN, ANN))})
    world.good()
    world.put(
        {
            f"home/ann/d/{target}": File("2\n", owner=(ANN, ANN)),
            f"home/ann/{last}": Dir(owner=(ANN, ANN)),
            "home/ann/d": Dir(owner=(ANN, ANN)),
            "etc/motd": "2\n",
        }
    )
    code = PUTS.format(root=str(world.root), outside=str(outside), last=last, target=target)
    done = world.pc.run("00overlay", env=injected(tmp_path / "fault", code))
    assert f"/home/ann/d/{target}" in done.out + done.err
    assert world.read("etc/motd") == "2\n"
    assert sorted(outside.rglob("*")) == before
    assert (outside / target).read_text() == "root's\n"
    world.pc.run("undo")
    assert (outside / target).read_text() == "root's\n"
    world.pc.run("resume").ok()
    world.tick()
    assert world.read(f"home/ann/d/{target}") == "2\n"


@pytest.mark.parametrize("real", ["d/conf", "d/sub/conf"])
def test_nothing_is_made_or_dropped_through_a_link(tmp_path: Path, real: str) -> None:
    outside = tmp_path / "outside"
    make_tree(outside, {"conf": "root's\n", "sub/conf": "root's\n"})
    backup = Backup(str(tmp_path / "undo"), free_space.Allowance(str(tmp_path)), str(tmp_path))
    make_tree(Path(backup.files), {"d": Link(str(outside))})
    before = sorted(outside.rglob("*"))
    backup.drop(real)
    with pytest.raises(PathRefused):
        backup.make_directory(real)
    assert sorted(outside.rglob("*")) == before
