"""What a killed tick leaves goes, and a full disk is never filled further.

docs/internals/rules.md, "A killed tick, and a full disk".
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.worlds.one_pc import World, injected, leftovers, mounted, snapshot, tmpfs
from tests.worlds.toy import Dir, File, Tree, make_tree

pytestmark = [pytest.mark.real, pytest.mark.root]

# Killed with its intent written, as the first file is about to come to its place.
KILLED = """
import os, signal
from allie.client.apply import placing
placing.Placer._take_its_place = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
"""


def killed(world: World, folder: Path) -> None:
    """A tick that was killed with its intent written and nothing placed yet."""
    folder.mkdir()
    (folder / "driver.py").write_text(
        KILLED + "import sys\nfrom allie.cli.main import main\nsys.exit(main())\n"
    )
    argv = [world.pc.python, str(folder / "driver.py"), "--root", str(world.root), "00overlay"]
    src = str(Path(__file__).parents[2] / "src")
    ended = subprocess.run(argv, env={**world.pc.env, "PYTHONPATH": src}, check=False)
    assert ended.returncode == -9
    assert world.state("intent-overlay").exists()


@contextmanager
def _srv_and_home(root: Path) -> Iterator[None]:
    """A disk of root's and one that is all a user's."""
    with tmpfs(root / "srv", "size=8m,mode=755"), tmpfs(root / "home", "size=8m,uid=1000,mode=755"):
        yield


def test_what_a_killed_tick_was_making_goes_and_nothing_else(tmp_path: Path) -> None:
    root = tmp_path / "pc"
    with _srv_and_home(root):
        world = World(tmp_path, {"etc/f": "1\n", "srv/d/g": "3\n", "home/h": "4\n", "top": "5\n"})
        killed(world, tmp_path / "fault")
        left = [each for each in leftovers(root) if each != "intent-overlay"]
        assert len(left) == 3, left  # one stage on each disk
        theirs: Tree = {
            "etc/.f.Ab": "not ours",
            "srv/.allie-0123456789abcdef/1": "not ours",
            "home/.allie-0123456789abcdef-1": "not ours",
            "home/.allie-0123456789abcdef/1": "not ours",
        }
        make_tree(world.root, theirs)
        world.tick().ok()
        for each in theirs:
            assert world.there(str(each)), each
            world.at(str(each)).unlink()
        (root / "srv/.allie-0123456789abcdef").rmdir()
        (root / "home/.allie-0123456789abcdef").rmdir()
        assert leftovers(root) == []
        assert world.read("srv/d/g") == "3\n"


def test_what_a_user_puts_beside_a_path_is_left_alone(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/f": "1\n", "srv/g": "2\n", "home/h": "3\n", "home/n/o": "4\n"})
    world.tolerated = (".g.allie0", ".n.allie0", ".h.allie0")
    theirs: Tree = {"srv/.g.allie0/users": "u\n", "home/.n.allie0/users": "u\n", "home": Dir()}
    make_tree(world.root, theirs)
    make_tree(tmp_path / "host", {"h": "host\n"})
    (world.root / "home/.h.allie0").symlink_to(tmp_path / "host/h")
    world.good()
    assert world.read("srv/.g.allie0/users") == world.read("home/.n.allie0/users") == "u\n"
    assert (tmp_path / "host/h").read_text() == "host\n"
    assert (world.read("home/h"), world.at("home/h").is_symlink()) == ("3\n", False)
    assert world.at("home/.h.allie0").is_symlink()


@contextmanager
def small_disk(tmp_path: Path, where: Path, kind: str, megabytes: int = 8) -> Iterator[None]:
    if kind == "tmpfs":
        with tmpfs(where, f"size={megabytes}m"):
            yield
        return
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(megabytes << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m0", str(image)], check=True)
    with mounted(where, "-o", "loop", source=str(image)):
        yield


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
@pytest.mark.parametrize("where", ["srv", "var/lib/allie", "."])
def test_a_full_disk_stops_a_change_before_it_begins(tmp_path: Path, kind: str, where: str) -> None:
    root = tmp_path / "pc"
    with small_disk(tmp_path, root / where, kind):
        world = World(tmp_path, {"srv/a": "1\n", "etc/b": "1\n"})
        world.good()
        # Sixty files of 4 KiB must fit in what is left for the mirror, and not in the rest.
        world.put({f"srv/f{number}": os.urandom(16384) for number in range(60)})
        world.put({"etc/b": "2\n"})
        filler = world.at(where) / "filler"
        disk = os.statvfs(world.at(where))
        spare = (2 << 20) if where == "srv" else (1 << 20) - 200_000
        filler.write_bytes(b"x" * max(0, disk.f_bavail * disk.f_frsize - spare + (1 << 19)))
        before = snapshot(root, ("var/lib/allie", "var/log", "run"))
        done = world.tick()
        assert "free" in done.out or "No space" in done.out, done.out
        if where == "srv":  # another disk than the state's: what is to go there waits alone
            assert done.rc == 1, done.out
            assert world.read("etc/b") == "2\n"
        else:
            assert done.rc == 2, done.out
        after = snapshot(root, ("var/lib/allie", "var/log", "run"))
        theirs = {"etc", "etc/b"} if where == "srv" else set()
        assert {each for each in before | after if before.get(each) != after.get(each)} == theirs
        assert leftovers(root) == []
        filler.unlink()
        world.good()
        assert world.read("etc/b") == "2\n"
        assert len(os.listdir(world.at("srv"))) >= 61


def test_a_disk_without_inodes_stops_a_change_before_it_begins(tmp_path: Path) -> None:
    root = tmp_path / "pc"
    with tmpfs(root / "srv", "size=8m,nr_inodes=60"):
        world = World(tmp_path, {"srv/a": "1\n", "etc/b": "1\n"})
        world.good()
        world.put({f"srv/f{number}": "x\n" for number in range(100)})
        before = snapshot(root)
        done = world.tick()
        assert done.rc == 1
        assert "inodes" in done.out
        assert snapshot(root) == before
        subprocess.run(["mount", "-o", "remount,nr_inodes=1000", str(root / "srv")], check=True)
        world.good()


def test_a_fetch_that_fills_the_disk_gives_it_back(tmp_path: Path) -> None:
    root = tmp_path / "pc"
    with tmpfs(root / "var/lib/allie", "size=4m"):
        world = World(tmp_path, {"etc/a": "1\n"})
        world.good()
        world.put({"etc/big": os.urandom(6 << 20)})
        done = world.tick()
        assert done.rc == 2
        assert "disk" in done.out
        assert leftovers(root) == []
        world.take("etc/big")
        world.put({"etc/a": "2\n"})
        world.good()
        assert world.read("etc/a") == "2\n"


FILLS_UP = """
from allie.client.apply import placing
real = placing.Placer._write_all
def fills(placer, *more):
    with open(placer._reach.path("srv/hog"), "wb") as hog:
        hog.write(bytes(3_950_000))
    real(placer, *more)
placing.Placer._write_all = fills
"""


def test_a_disk_that_fills_up_meanwhile_changes_nothing_there_and_converges(
    tmp_path: Path,
) -> None:
    """It is full after the question was asked, before all that is new is on it."""
    root = tmp_path / "pc"
    with tmpfs(root / "srv", "size=4m"):
        world = World(tmp_path, {"srv/a": "1\n", "etc/b": "1\n"})
        world.good()
        world.put({f"srv/f{number}": os.urandom(30_000) for number in range(10)})
        world.put({"etc/b": "2\n"})
        done = world.tick(env=injected(tmp_path / "fault", FILLS_UP))
        assert done.rc == 1
        assert "No space left" in done.out
        assert leftovers(root) == []
        assert sorted(os.listdir(root / "srv")) == ["a", "hog"]
        assert world.read("etc/b") == "2\n"
        (root / "srv/hog").unlink()
        world.good()
        assert len(os.listdir(root / "srv")) == 11


@pytest.mark.parametrize("what", ["busy", "immutable"])
def test_a_target_that_cannot_be_replaced_is_an_error_of_that_path(
    tmp_path: Path, what: str
) -> None:
    root = tmp_path / "pc"
    with small_disk(tmp_path, root / "srv", "ext4"):  # which knows chattr
        world = World(tmp_path, {"srv/f": "1\n", "srv/g": "1\n", "etc/h": "1\n"})
        world.good()
        world.put({"srv/f": "2\n", "srv/g": "2\n"})
        (tmp_path / "bound").write_text("bound\n")
        if what == "busy":
            subprocess.run(["mount", "--bind", tmp_path / "bound", root / "srv/f"], check=True)
        else:
            subprocess.run(["chattr", "+i", root / "srv/f"], check=True)
        try:
            for _ in range(2):  # not only once: it is tried again, and said again
                done = world.tick()
                assert done.rc == 1, done.out
                assert "/srv/f" in done.out
                assert world.read("srv/g") == "2\n"
                assert leftovers(root) == []
            manifests = "".join(
                path.read_text() for path in world.state("undo").glob("*/overlay/manifest")
            )
            assert '["srv/f","place","changed"' not in manifests  # no false undo entry
        finally:
            if what == "busy":
                subprocess.run(["umount", root / "srv/f"], check=True)
            else:
                subprocess.run(["chattr", "-i", root / "srv/f"], check=True)
        world.good()
        assert world.read("srv/f") == "2\n"
        assert (tmp_path / "bound").read_text() == "bound\n"


def test_a_read_only_root_is_left_alone(tmp_path: Path) -> None:
    root = tmp_path / "pc"
    with small_disk(tmp_path, root, "ext4"):
        world = World(tmp_path, {"etc/a": "1\n"})
        world.good()
        world.put({"etc/a": "2\n"})
        make_tree(root, {"root/conf/50x": File("#!/bin/sh\nexit 0\n", 0o755)})
        subprocess.run(["mount", "-o", "remount,ro", str(root)], check=True)
        before = snapshot(root, ())
        for verb in ("00overlay", "run-conf"):
            done = world.pc.run(verb)
            assert done.rc == 2
            assert "read-only" in done.err.lower()
            assert "Traceback" not in done.err
        assert snapshot(root, ()) == before
        subprocess.run(["mount", "-o", "remount,rw", str(root)], check=True)
        world.good()
        assert world.read("etc/a") == "2\n"


def test_a_read_only_part_of_the_root_is_an_error_of_its_paths(tmp_path: Path) -> None:
    root = tmp_path / "pc"
    with tmpfs(root / "srv", "size=2m"):
        world = World(tmp_path, {"srv/a": "1\n", "etc/b": "1\n"})
        world.good()
        world.put({"srv/a": "2\n", "etc/b": "2\n"})
        subprocess.run(["mount", "-o", "remount,ro", str(root / "srv")], check=True)
        done = world.tick()
        assert done.rc == 1
        assert "/srv/a" in done.out
        assert world.read("etc/b") == "2\n"
        assert world.read("srv/a") == "1\n"
        world.steady(rc=1)
        subprocess.run(["mount", "-o", "remount,rw", str(root / "srv")], check=True)
        world.good()
        assert world.read("srv/a") == "2\n"
