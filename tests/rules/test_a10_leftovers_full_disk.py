"""RULES A10: what a killed rsync leaves goes, and a full disk is never filled further."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.rules.helpers import World, leftovers, mounted, snapshot, tmpfs
from tests.worlds.toy import Dir, File, Tree, make_tree

pytestmark = [pytest.mark.real, pytest.mark.root]

# Killed as soon as rsync begins to lay the stage over the root.
KILLED = """
import os, signal
from allie.machine import process
real = process.run
def run(argv, **more):
    if "--delay-updates" in argv:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(argv, **more)
process.run = run
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


def test_temp_files_of_the_intents_names_go_and_no_others(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/f": "1\n", "etc/.rc": "2\n", "etc/d/g": "3\n", "top": "4\n"})
    killed(world, tmp_path / "fault")
    make_tree(
        world.root,
        {
            "etc/.f.Ab12Cd": "half",
            "etc/.rc.Ab12Cd": "half",  # rsync puts no second dot before a dot
            ".top.Zz9Zz9": "half",
            "etc/.~tmp~": Dir(0o700),
            "etc/.~tmp~/f": File("late", owner=(5, 5)),
            "etc/.~tmp~/.f.Ab12Cd": "half",
        },
    )
    theirs: Tree = {
        "etc/.other.Ab12Cd": "not ours",
        "etc/.f.Ab12C": "not ours",
        "etc/.f.Ab12Cde": "not ours",
        "etc/.motd.Ab12Cd": File("another name", owner=(1000, 1000)),
        "srv/.~tmp~/f": "not ours",
    }
    make_tree(world.root, theirs)
    world.tick().ok()
    for name in ("etc/.f.Ab12Cd", "etc/.rc.Ab12Cd", ".top.Zz9Zz9", "etc/.~tmp~"):
        assert not world.there(name), name
    for each in theirs:
        assert world.there(str(each)), each
    assert world.read("etc/.rc") == "2\n"


def test_a_users_own_directory_of_that_name_stays(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/f": "1\n", "srv/g": "2\n", "home/h": "3\n"})
    make_tree(world.root, {"srv/.~tmp~/users": "u\n", "srv/.~tmp~/g": "u\n", "home": Dir()})
    make_tree(tmp_path / "host", {"h": "host\n"})
    (world.root / "home/.~tmp~").symlink_to(tmp_path / "host")
    killed(world, tmp_path / "fault")
    assert world.tick().rc in (0, 1)
    assert world.read("srv/.~tmp~/users") == "u\n"
    assert (tmp_path / "host/h").read_text() == "host\n"


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
        assert done.rc == 2, done.out
        assert "free" in done.out or "No space" in done.out, done.out
        assert snapshot(root, ("var/lib/allie", "var/log", "run")) == before
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
        assert done.rc == 2
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


def test_an_interrupted_write_in_the_root_is_cleaned_and_converges(tmp_path: Path) -> None:
    """The disk fills up after the question was asked: rsync itself runs out of room."""
    root = tmp_path / "pc"
    with tmpfs(root / "srv", "size=4m"):
        world = World(tmp_path, {"srv/a": "1\n", "etc/b": "1\n"})
        world.good()
        world.put({f"srv/f{number}": os.urandom(30_000) for number in range(10)})
        programs = tmp_path / "programs"
        programs.mkdir()
        (programs / "rsync").write_text(
            "#!/bin/sh\n"
            f'case "$*" in *--delay-updates*) head -c 4000000 /dev/zero > {root}/srv/hog;; esac\n'
            'exec /usr/bin/env PATH=/usr/local/bin:/usr/bin:/bin rsync "$@"\n'
        )
        (programs / "rsync").chmod(0o755)
        path = f"{programs}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        done = world.tick(env={"ALLIE_PATH": path})
        assert done.rc in (1, 2)
        assert "No space left" in done.out
        assert [name for name in leftovers(root) if name not in ("stage", "intent-overlay")] == []
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
