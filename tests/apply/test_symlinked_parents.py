"""Symlinked parents are followed inside the root, never replaced, never left.

docs/internals/rules.md, "Symlinked parents are followed, never replaced".
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worlds.busybox import busybox_root
from tests.worlds.one_pc import World, injected, snapshot, tmpfs
from tests.worlds.toy import Dir, Entry, File, Hard, Link, make_tree

pytestmark = [pytest.mark.real, pytest.mark.root]


def test_merged_usr_stays_merged(tmp_path: Path) -> None:
    world = World(
        tmp_path,
        {
            "lib/modules/x": "m\n",
            "bin/tool": File("#!/bin/sh\n", 0o755),
            "sbin/daemon": File("#!/bin/sh\n", 0o755),
            "lib64/y": "64\n",
        },
        made=busybox_root(tmp_path / "pc"),
    )
    world.good()
    for name in ("lib", "bin", "sbin", "lib64"):
        assert os.readlink(world.at(name)) == f"usr/{name}"
    assert world.read("usr/lib/modules/x") == "m\n"
    assert (world.at("usr/bin/tool")).stat().st_mode & 0o111
    world.put({"bin/tool": File("#!/bin/sh\n# 2\n", 0o755)})
    world.good()
    assert "# 2" in world.read("usr/bin/tool")
    world.take("lib/modules/x", "bin/tool", "sbin/daemon")
    world.good()
    assert os.readlink(world.at("bin")) == "usr/bin"
    assert not world.there("usr/bin/tool")
    assert not world.there("usr/lib/modules")


def test_variants_under_a_symlinked_parent(tmp_path: Path) -> None:
    world = World(tmp_path, {"bin/tool": "any\n", "bin/tool##host.pc07": "mine\n"})
    world.good()
    assert world.read("usr/bin/tool") == "mine\n"
    assert os.readlink(world.at("bin")) == "usr/bin"


@pytest.mark.parametrize("target", ["/srv/outside", "../../../../../../../../../srv/outside"])
def test_an_absolute_link_clamps_at_the_root_and_never_leads_to_the_host(
    tmp_path: Path, target: str
) -> None:
    host = tmp_path / "srv/outside"  # what `..` from the root's parent would be, if not clamped
    host.mkdir(parents=True)
    world = World(
        tmp_path, {"mnt/l/f": "ours\n"}, root={"mnt/l": Link(target), "srv/outside": Dir()}
    )
    world.good()
    assert world.read("srv/outside/f") == "ours\n"
    assert os.readlink(world.at("mnt/l")) == target
    assert list(host.iterdir()) == []
    assert not Path("/srv/outside").exists()


def test_an_absolute_link_to_what_the_host_alone_has_is_an_error_of_that_path(
    tmp_path: Path,
) -> None:
    host = tmp_path / "host"
    host.mkdir()
    world = World(tmp_path, {"l/f": "ours\n", "etc/f": "x\n"}, root={"l": Link(str(host))})
    done = world.tick()
    assert done.rc == 1
    assert "left as it is: /l" in done.out
    assert world.read("etc/f") == "x\n"
    assert list(host.iterdir()) == []
    world.steady(rc=1)


@pytest.mark.parametrize(
    ("links", "words"),
    [
        ({"d": Link("nowhere")}, "which is no directory"),
        ({"d": Link("etc/motd")}, "which is no directory"),
        ({"d": Link("e"), "e": Link("d")}, "too many symlinks"),
    ],
)
def test_a_parent_that_leads_nowhere_is_an_error_of_that_path_alone(
    tmp_path: Path, links: dict[str | bytes, Entry], words: str
) -> None:
    world = World(tmp_path, {"d/f": "1\n", "etc/g": "2\n"})
    make_tree(world.root, links)
    done = world.tick()
    assert done.rc == 1
    assert words in done.out
    assert world.read("etc/g") == "2\n"
    world.steady(rc=1)


def test_forty_links_are_followed_and_no_more(tmp_path: Path) -> None:
    chain: dict[str, object] = {f"l{n}": Link(f"l{n + 1}") for n in range(1, 41)}
    world = World(tmp_path, {"l1/f": "1\n"}, root={**chain, "l41": Dir()})
    world.good()
    assert world.read("l41/f") == "1\n"
    make_tree(world.root, {"l0": Link("l1")})
    world.put({"l0/g": "1\n"})
    done = world.tick()
    assert "too many symlinks" in done.out
    assert not world.there("l41/g")


def test_the_modes_of_directories_that_we_did_not_make_stay(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/f": "1\n", "root/g": "2\n", "tmp/h": "3\n", "top": "4\n"})
    world.root.chmod(0o751)
    for name in (".", "etc", "root", "tmp"):
        (world.overlay() / name).chmod(0o777)
        os.chown(world.overlay() / name, 5, 5)
    before = {name: world.at(name).stat() for name in (".", "etc", "root", "tmp")}
    world.good()
    for name, st in before.items():
        now = world.at(name).stat()
        assert (now.st_mode, now.st_uid, now.st_gid) == (st.st_mode, st.st_uid, st.st_gid), name


def test_new_directories_get_the_overlays_own_mode_and_owner(tmp_path: Path) -> None:
    world = World(tmp_path, {"a": Dir(0o700, owner=(5, 6)), "a/b": Dir(0o2750), "a/b/f": "1\n"})
    world.good()
    a, b = world.at("a").stat(), world.at("a/b").stat()
    assert (stat.S_IMODE(a.st_mode), a.st_uid, a.st_gid) == (0o700, 5, 6)
    assert stat.S_IMODE(b.st_mode) == 0o2750


def test_a_directory_that_becomes_a_symlink_takes_our_files_along(tmp_path: Path) -> None:
    world = World(tmp_path, {"lib2/f": "1\n", "lib2/g": "2\n"}, root={"lib2": Dir()})
    world.good()
    world.at("usr/lib2").mkdir()
    for name in ("f", "g"):
        world.at(f"lib2/{name}").rename(world.at(f"usr/lib2/{name}"))
    world.at("lib2").rmdir()
    make_tree(world.root, {"lib2": Link("usr/lib2")})
    world.good()
    assert os.readlink(world.at("lib2")) == "usr/lib2"
    world.take("lib2/f")
    world.good()
    assert not world.there("usr/lib2/f")
    assert world.read("usr/lib2/g") == "2\n"


def test_a_symlink_of_ours_that_becomes_a_directory_needs_one_tick(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/d": Link("other")}, root={"etc/other/theirs": "t\n"})
    world.good()
    (world.overlay() / "etc/d").unlink()
    world.put({"etc/d/f": "1\n"})
    world.good()
    assert not world.at("etc/d").is_symlink()
    assert world.read("etc/d/f") == "1\n"
    assert not world.there("etc/other/f")
    world.take("etc/d/f")
    world.put({"etc/d": Link("other"), "etc/x": "x\n"})
    world.good()
    assert os.readlink(world.at("etc/d")) == "other"


def test_dangling_and_absolute_links_are_placed_as_they_are(tmp_path: Path) -> None:
    links: dict[str, object] = {
        "etc/a": Link("/nowhere"),
        "etc/b": Link("../../../x"),
        "etc/c": Link(b"\xff"),
    }
    world = World(tmp_path, {**links, "etc/dir": Link("/var")})
    world.good()
    assert os.readlink(world.at("etc/a")) == "/nowhere"
    assert os.readlink(world.at("etc/b")) == "../../../x"
    assert os.readlink(os.fsencode(world.at("etc/c"))) == b"\xff"
    assert os.readlink(world.at("etc/dir")) == "/var"


def test_no_tick_writes_outside_the_root(tmp_path: Path) -> None:
    outside = make_tree(tmp_path / "outside", {"etc/f": "host\n", "run/x": "host\n"})
    links = {
        "a": Link(str(outside)),
        "b": Link("../outside"),
        "c": Link("../../outside/etc"),
        "etc/f": Link(str(outside / "etc/f")),
    }
    tree = {"a/f": "1\n", "b/f": "2\n", "c/f": "3\n", "etc/f": "4\n", "var/run/g": "5\n"}
    world = World(tmp_path, tree, root=links)
    before = snapshot(outside)
    world.tick()
    world.tick()
    world.take("a/f", "etc/f")
    world.tick()
    assert snapshot(outside) == before
    assert not Path("/run/g").exists()


SWAPS = """
import os
from allie.client.{wing} import {module} as module
real = module.{name}
def swaps(*args, **more):
    module.{name} = real
    os.rename({root!r} + "/srv/d", {root!r} + "/srv/was")
    os.symlink({outside!r}, {root!r} + "/srv/d")
    return real(*args, **more)
module.{name} = swaps
"""


def swapped(world: World, part: str, where: str) -> Path:
    """Run a part while somebody turns srv/d into a link, as a function of the client is called.

    Where the directory is after that; what the link leads to must be as before.
    """
    outside = make_tree(world.store.parent / "outside", {"f": "host\n", "tree/g": "host\n"})
    before = snapshot(outside)
    wing, module, name = where.split(".", 2)
    places = {"root": str(world.root), "outside": str(outside)}
    code = SWAPS.format(wing=wing, module=module, name=name, **places)
    world.pc.run(part, env=injected(world.store.parent / "fault", code))
    assert world.at("srv/d").is_symlink(), "the swap was made"
    assert snapshot(outside) == before
    return world.at("srv/was")


WHILE_WRITING = [
    "apply.placing.Placer._write",
    "apply.placing.Placer._link_twin",
    "apply.placing.Placer._take_its_place",
    "apply.transaction.confirm",
]


@pytest.mark.parametrize("where", WHILE_WRITING)
def test_a_directory_swapped_while_files_are_written_leads_nowhere(
    tmp_path: Path, where: str
) -> None:
    tree = {"srv/d/f": "ours\n", "srv/d/g": "ours\n", "srv/d/twin": Hard("srv/d/g")}
    world = World(tmp_path, tree, root={"srv/d": Dir(owner=(1000, 1000))})
    swapped(world, "00overlay", where)


@pytest.fixture
def far_state(tmp_path: Path) -> Iterator[None]:
    """The state directory on another disk than the root."""
    with tmpfs(tmp_path / "pc/var/lib/allie", "size=8m"):
        yield


@pytest.mark.usefixtures("far_state")
def test_a_withdrawal_goes_by_the_open_directory(tmp_path: Path) -> None:
    world = World(tmp_path, {"srv/d/f": "ours\n", "srv/d/g": "g\n"})
    world.good()
    world.take("srv/d/f")
    was = swapped(world, "00overlay", "originals.undo_copies.clone.Clones.whole")
    assert os.listdir(was) == ["g"]
    (kept,) = world.state("undo").glob("*/overlay/files/srv/d/f")
    assert kept.read_text() == "ours\n"


@pytest.mark.usefixtures("far_state")
def test_a_tree_made_absent_goes_by_the_open_directory(tmp_path: Path) -> None:
    world = World(tmp_path, {"srv/d/tree##absent": ""}, root={"srv/d/tree/g": "g\n"})
    world.good()
    make_tree(world.root, {"srv/d/tree/h": "h\n"})
    was = swapped(world, "01overact", "originals.undo_copies.clone.Clones.whole")
    assert os.listdir(was) == []
    kept = world.state("undo").glob("*/overact/files/srv/d/tree/*")
    assert sorted(path.name for path in kept) == ["g", "h"]


@pytest.mark.usefixtures("far_state")
def test_a_file_takes_a_links_place_by_the_open_directory(tmp_path: Path) -> None:
    world = World(tmp_path, {"srv/d/f": Link("x")})
    world.good()
    world.put({"srv/d/f": "a file\n"})
    was = swapped(world, "00overlay", "originals.undo_copies.clone.Clones.make")
    assert (was / "f").read_text() == "a file\n"
    kept = [path for path in world.state("undo").rglob("*") if path.is_symlink()]
    assert [os.readlink(path) for path in kept] == ["x"]
