"""A user mounts a file system in our way at the very moment, and never answers."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from allie.machine.mounts import fuse_waits
from tests.security import fuse
from tests.security.automounter import automounter, is_known
from tests.tick.site import script
from tests.worlds.busybox import busybox_root
from tests.worlds.one_pc import World, injected
from tests.worlds.toy import Dir, File, make_tree

pytestmark = [
    pytest.mark.real,
    pytest.mark.root,
    pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="no FUSE"),
]
ANNS = (4242, 4242)

# As if the mount had come after the table of mounts was read; and who waits is freed sooner.
TOO_LATE = """
from allie.machine.mounts import fuse_waits, user_mounts
user_mounts.below = lambda root: user_mounts.Mounts({}, {})
user_mounts.closed_in = lambda root: {}
fuse_waits.LOOK, fuse_waits.PATIENCE = 0.2, 1.0
"""


def test_a_tick_goes_on_when_a_user_does_not_answer(tmp_path: Path) -> None:
    app = "home/ann/.app"
    world = World(tmp_path, {"etc/motd": "1\n"}, root={"home/ann": Dir(owner=ANNS)})
    world.put({f"{app}/conf": File("1\n", owner=ANNS), app: Dir(owner=ANNS)})
    stub = Path(__file__).parents[2] / "src/allie/stub/stub.sh"
    for name in ("00overlay", "01overact"):
        make_tree(world.root, {f"root/conf/{name}": File(stub.read_bytes(), 0o755)})
    world.pc.run("run-conf").ok()
    with fuse.hanging(world.at(app)) as program:
        world.put({"etc/motd": "2\n"})
        done = world.pc.run("run-conf", env=injected(tmp_path / "fault", TOO_LATE))
        assert program.stdout
        assert program.stdout.readline() == "ended\n", "its connection was ended, not ours"
        assert world.read("etc/motd") == "2\n", done
        assert f"/{app}" in world.pc.run("status").out
    world.tick().ok()
    world.steady()


SOONER = """
from allie.machine.mounts import user_mounts
user_mounts._SILENT = 1.0
"""


def test_a_silent_disk_of_another_machine_is_not_entered(tmp_path: Path) -> None:
    """Root has mounted it, as an NFS share; its paths are named, all others come, and it heals."""
    world = World(tmp_path, {"srv/data/sub/f": "1\n", "srv/data/gone": "1\n", "etc/motd": "1\n"})
    world.good()
    env = injected(tmp_path / "fault", SOONER)
    with fuse.hanging(world.at("srv/data"), user=0) as program:
        for number in range(2):
            world.put({"srv/data/sub/f": "22\n", "etc/motd": "x" * number})
            (world.overlay() / "srv/data/gone").unlink(missing_ok=True)
            done = world.tick(env=env)
            assert world.read("etc/motd") == "x" * number, done
            assert "/srv/data: the file system that is mounted there does not answer" in done.out
        assert world.tick(env=env).rc == 1, "with nothing else to do, it is still named"
        assert program.poll() is None
    world.tick()
    world.steady()
    assert world.read("srv/data/sub/f") == "22\n"
    assert not world.there("srv/data/gone")


def test_a_silent_disk_for_logs_or_state(tmp_path: Path) -> None:
    """No tick waits for the logs' place; without the state it ends, and says why."""
    own = {"root/conf/50x": script("# allie: every tick", "echo said")}
    world = World(tmp_path, own, made=busybox_root(tmp_path / "pc"))
    world.tick().ok()
    env = injected(tmp_path / "fault", SOONER)
    for place, rc in (("var/log", 1), ("var/lib", 2)):
        with fuse.hanging(world.at(place), user=0):
            done = world.pc.run("run-conf", env=env)
            assert done.rc == rc, done
            if rc == 1:
                assert world.at("var/lib/allie/spare-logs/50x.log").read_text() == "said\n"
            else:
                assert "/var/lib: the file system that is mounted there does not" in done.err
    world.pc.run("run-conf").ok()


def test_a_disk_that_answers_is_asked_once_and_entered(tmp_path: Path) -> None:
    world = World(tmp_path, {"srv/data/f": "1\n"})
    world.at("srv/data").mkdir(parents=True)
    (tmp_path / "served").mkdir()
    subprocess.run(["bindfs", tmp_path / "served", world.at("srv/data")], check=True)
    try:
        world.tick().ok()
        assert (tmp_path / "served/f").read_text() == "1\n"
    finally:
        subprocess.run(["umount", world.at("srv/data")], check=True)


def test_only_who_waits_is_freed(tmp_path: Path) -> None:
    """Other users' file systems, at which nothing waits, are left alone."""
    world = World(tmp_path, {"etc/motd": "1\n"})
    make_tree(world.root, {"home/ann/m": Dir(owner=ANNS)})
    with fuse.hanging(world.at("home/ann/m")) as program:
        fuse_waits.free()
        time.sleep(0.5)
        assert program.poll() is None, "it ends as soon as its connection does"


@pytest.mark.skipif(not is_known(), reason="no autofs in this kernel")
@pytest.mark.parametrize("kind", ["direct", "indirect"])
@pytest.mark.parametrize("does", ["mounts", "refuses", "nothing"])
def test_what_an_automounter_is_to_mount(tmp_path: Path, kind: str, does: str) -> None:
    """The server behind is there, is away and that is known, or never answers."""
    world = World(tmp_path, {"srv/data/sub/f": "1\n", "etc/motd": "1\n"})
    world.good()
    env = injected(tmp_path / "fault", SOONER)
    source = tmp_path / "share"
    with automounter(world.at("srv/data"), kind, does, source):
        for number in range(2):
            world.put({"srv/data/sub/f": "22\n", "etc/motd": "x" * number})
            done = world.tick(env=env)
            assert world.read("etc/motd") == "x" * number, done
            if does == "mounts":
                assert done.rc == 0, done
                assert (source / "sub/f").read_text() == "22\n"
            else:
                assert done.rc == 1, done
                assert "left as it is: /srv/data/sub" in done.out
        still = 0 if does == "mounts" else 1
        assert world.tick(env=env).rc == still, "with nothing else to do, it is still named"
    world.tick()
    world.steady()
    assert world.read("srv/data/sub/f") == "22\n"
