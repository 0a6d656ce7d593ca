"""A part that had nothing to do tells by lstat alone that it has nothing to do again.

docs/internals/rules.md, "What vouches for a file".
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import allie
from allie.client.apply import unchanged
from allie.client.situation import grounds
from allie.client.state import records
from allie.client.tick import part
from allie.machine.roots import open_system
from tests.worlds.one_pc import World, plain, snapshot
from tests.worlds.toy import Dir, File, Link, make_tree

pytestmark = [pytest.mark.real, pytest.mark.root]
WHEN = 1_500_000_000
PARTS = ("overlay", "overact")


def holds(world: World) -> dict[str, bool]:
    """For each part, whether its note still holds."""
    here = open_system.open_system(str(world.root))
    known = grounds.gather(here)
    return {each: unchanged.holds(here, each, known) for each in PARTS}


def settle(world: World) -> None:
    """Tick until there is nothing to do, and that is known; no note is made of what is too new."""
    for _ in range(5):
        world.tick().ok()
        if all(holds(world).values()):
            return
        time.sleep(0.03)
    pytest.fail(f"the notes do not hold: {holds(world)}")


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(
        tmp_path,
        {
            "etc/a": File("1234\n", mtime=WHEN),
            "etc/variant##host.pc07": File("1234\n", mtime=WHEN),
            "etc/link": Link("a"),
            "etc/no##absent": "",
            "etc/once##once": "once\n",
            "etc/late": File("withdrawn\n", mtime=WHEN),
            "lib/f": "through a link\n",
            "srv/here/f": "1\n",
            "srv/made/f": "1\n",
            "srv/tagged##host.pc07/f": "1\n",
        },
        root={
            "lib": Link("usr/lib"),
            "usr/lib": Dir(),
            "srv/here": Dir(),
            "etc/os-release": "ID=toy\n",
        },
    )
    world.good()
    shutil.copy2(world.at("etc/late"), tmp_path / "late")
    world.take("etc/late")
    settle(world)
    return world


def _in_place(path: Path) -> None:
    path.write_text("4321\n")
    os.utime(path, (WHEN, WHEN))


def _to_another(path: Path) -> None:
    path.unlink()
    path.symlink_to("b")


def _comes_back(path: Path) -> None:
    shutil.copy2(path.parents[2] / "late", path)


def _to_symlink(path: Path) -> None:
    path.rename(f"{path}.moved")
    path.symlink_to(f"{path.name}.moved")


# what somebody does on the PC, and which part must notice
EDITS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "content": ("etc/a", _in_place, "overlay"),
    "a variant's content": ("etc/variant", _in_place, "overact"),
    "mode": ("etc/a", lambda path: path.chmod(0o600), "overlay"),
    "owner": ("etc/a", lambda path: os.chown(path, 5, 5), "overlay"),
    "attribute": ("etc/a", lambda path: os.setxattr(path, "user.x", b"1"), "overlay"),
    "time alone": ("etc/a", os.utime, "overlay"),
    "removed": ("etc/a", os.unlink, "overlay"),
    "a variant removed": ("etc/variant", os.unlink, "overact"),
    "a file below a symlink": ("usr/lib/f", os.unlink, "overlay"),
    "a link's target": ("etc/link", _to_another, "overlay"),
    "our directory's mode": ("srv/made", lambda path: path.chmod(0o700), "overlay"),
    "our directory removed": ("srv/made", shutil.rmtree, "overlay"),
    "a variant's directory removed": ("srv/tagged", shutil.rmtree, "overact"),
    "their directory removed": ("srv/here", shutil.rmtree, "overlay"),
    "an absent path appears": ("etc/no", Path.touch, "overact"),
    "an absent path appears as a directory": ("etc/no", Path.mkdir, "overact"),
    "a once file removed": ("etc/once", os.unlink, "overact"),
    "a withdrawn file comes back": ("etc/late", _comes_back, "overlay"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_is_noticed_and_put_right(world: World, edit: str) -> None:
    name, do, who = EDITS[edit]
    before = plain(snapshot(world.root))
    do(world.at(name))
    assert not holds(world)[who]
    world.tick().ok()
    assert plain(snapshot(world.root)) == before
    settle(world)


@pytest.mark.parametrize("path", ["srv/here", "srv/made", "lib", "usr"])
def test_a_directory_that_becomes_a_symlink_is_noticed(world: World, path: str) -> None:
    """Also where it leads to the very same files."""
    _to_symlink(world.at(path))
    assert not holds(world)["overlay"]


def test_a_symlink_on_the_way_that_leads_elsewhere_is_noticed(world: World) -> None:
    make_tree(world.root, {"usr/lib64": Dir()})
    world.at("lib").unlink()
    world.at("lib").symlink_to("usr/lib64")
    assert not holds(world)["overlay"], "though all that was placed stands as it did"
    world.tick().ok()
    assert (world.there("usr/lib/f"), world.there("usr/lib64/f")) == (False, True)


def _host(world: World) -> None:
    world.host = "pc08"
    world.follow()


def _image(world: World) -> None:
    world.image = "toy2"
    world.follow()


def _cut(world: World) -> None:
    for path in world.state("").glob("quick/over*"):
        path.write_bytes(b"\0".join(path.read_bytes().split(b"\0")[:-2]))


def _zero(world: World) -> None:
    for path in world.state("").glob("quick/over*"):
        name, _, rest = path.read_bytes().partition(b"\0")
        path.write_bytes(name + b"\0" * (1 + len(rest)))


def _lost(world: World) -> None:
    world.state("ledger").unlink()


def _forgotten(world: World) -> None:
    for path in world.state("").glob("quick/over*"):
        path.unlink()


def _restored(world: World) -> None:
    shutil.copy2(world.state("ledger"), world.state("copy"))
    world.state("copy").rename(world.state("ledger"))


# what else the outcome follows from
CAUSES: dict[str, Callable[[World], object]] = {
    "host": _host,
    "image": _image,
    "classes": lambda world: make_tree(world.root, {"etc/allie/classes": "lab: pc07\n"}),
    "os-release": lambda world: make_tree(world.root, {"etc/os-release": "ID=other\n"}),
    "overlays": lambda world: world.follow("common, lab"),
    "ledger lost": _lost,
    "ledger restored": _restored,
    "note lost": _forgotten,
    "note cut short": _cut,
    "note of zeros": _zero,
}


@pytest.mark.parametrize("cause", CAUSES)
def test_another_cause_is_another_note(world: World, cause: str) -> None:
    CAUSES[cause](world)
    assert holds(world) == {"overlay": False, "overact": False}
    assert world.tick().rc == (0 if cause != "overlays" else 1)  # there is no overlay lab


def test_a_new_generation_is_another_note(world: World) -> None:
    world.put({"etc/new": "1\n"})
    world.tick().ok()
    assert world.read("etc/new") == "1\n"
    assert not holds(world)["overact"], "its turn came before, and it had nothing to do"
    settle(world)


def test_another_client_looks_for_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allie, "__version__", "0.0.1")
    assert holds(world) == {"overlay": False, "overact": False}


def test_what_others_do_is_not_looked_at(world: World) -> None:
    make_tree(world.root, {"etc/theirs": "1\n", "srv/here/theirs": "1\n"})
    assert holds(world) == {"overlay": True, "overact": True}


def test_a_users_file_at_a_withdrawn_path_stays(world: World) -> None:
    make_tree(world.root, {"etc/late": "the user's own\n"})
    assert not holds(world)["overlay"]
    settle(world)
    assert world.read("etc/late") == "the user's own\n"


def test_an_edited_once_file_stays(world: World) -> None:
    world.at("etc/once").write_text("edited\n")
    settle(world)
    assert world.read("etc/once") == "edited\n"
    world.at("etc/once").unlink()
    world.good()
    assert world.read("etc/once") == "once\n"


def test_a_problem_is_told_at_every_tick(world: World) -> None:
    world.put({"etc/tie##host.pc07": "1\n", "etc/tie##host.pc0[7]": "2\n", "proc/x": "1\n"})
    for _ in range(3):
        done = world.tick()
        assert done.rc == 1
        assert "/proc/x" in done.out


def test_paused_parts_still_tell(world: World) -> None:
    world.pc.run("pause").ok()
    assert world.tick().ok()
    here = open_system.open_system(str(world.root))
    applied = [records.applied(here, each) for each in PARTS]
    assert [each.paused for each in applied if each] == [True, True]


def test_the_weekly_tick_looks(world: World) -> None:
    """Though no lstat differs: it compares all by content, and notes in the ledger that it did."""
    ledger = world.state("ledger").stat().st_mtime_ns
    world.tick().ok()
    assert world.state("ledger").stat().st_mtime_ns == ledger
    world.state("tick").write_text(f"{part.FULL_EVERY - 1}\n")
    world.tick().ok()
    assert world.state("ledger").stat().st_mtime_ns != ledger, "all was looked at and noted anew"


@pytest.mark.parametrize("name", ["00overlay", "01overact"])
def test_a_glance_reads_no_ledger_and_lists_no_overlay(
    world: World, tmp_path: Path, name: str
) -> None:
    trace = tmp_path / "trace"
    argv = ["strace", "-f", "-o", str(trace), "-e", "trace=open,openat,openat2"]
    env = {**world.pc.env, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    subprocess.run([*argv, *world.pc.argv(name)], check=True, capture_output=True, env=env)
    opened = trace.read_text()
    assert "/var/lib/allie/quick/over" in opened
    assert "/var/lib/allie/ledger" not in opened
    assert "/.names-" not in opened
