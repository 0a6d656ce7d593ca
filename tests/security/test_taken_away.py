"""What is taken away, kept and brought back may be a user's, who is at it at the same time.

docs/internals/security.md, "One path's trouble".
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from allie.client.originals import undo_ticks
from allie.client.originals.undo_copies import Backup
from allie.core.change.intent import NOTHING_THERE, Step
from allie.core.change.ledger import DIRECTORY
from allie.core.change.plan import REMOVE
from allie.core.errors import PathRefused
from allie.machine.files import free_space, tree
from allie.machine.mounts import mount_table
from allie.machine.roots import clone
from tests.security import fuse
from tests.worlds.one_pc import World, injected, tmpfs
from tests.worlds.toy import Dir, Fifo, File, Link, Tree, make_tree

pytestmark = [pytest.mark.real, pytest.mark.root]

ANN = 4242
ANNS = (ANN, ANN)
BAD = "home/ann/bad"
HOME: Tree = {"home/ann": Dir(owner=ANNS)}


@contextmanager
def network_disk(top: Path, where: Path) -> Iterator[Path]:
    """A mount of root's with another user's files on it; wherever it has been moved, it goes."""
    disk = top / "disk"
    make_tree(disk, {"bob/thesis": "his\n"})
    where.mkdir(parents=True)
    subprocess.run(["mount", "--bind", disk, where], check=True)
    try:
        yield disk / "bob/thesis"
    finally:
        for point in reversed(mount_table.points()):
            if point.startswith(f"{top}/moves/") and point != f"{top}/moves/home":
                subprocess.run(["umount", "-l", point], check=True)


class Taking:
    """Backup takes Ann's tree, or her file, away. Call it: at each moment something may happen."""

    def __init__(self, top: Path, made: Tree) -> None:
        self.home = top / "moves/home/ann"
        make_tree(self.home, made)
        os.chown(self.home, ANN, ANN)
        for name in ("undo", "stage"):
            (top / f"moves/{name}").mkdir(0o700)
        self.undo, self.stage = top / "moves/undo", top / "moves/stage"
        if os.stat(self.home).st_dev != os.stat(top).st_dev:
            self.stage = top / "moves/home/stage"
            self.stage.mkdir(0o700)
        is_tree = (self.home / "bad").is_dir()
        before = (DIRECTORY, "") if is_tree else ("f:", "")
        self.step = Step(BAD, REMOVE, "", before, NOTHING_THERE, None, None)
        (self.undo / "1/overlay/files").mkdir(parents=True)
        self.place = str(self.undo / "1")
        root = str(top / "moves")
        self.backup = Backup(f"{self.place}/overlay", free_space.Allowance(str(top)), root)

    def __call__(self) -> str:
        """Why it was refused; "" where it was taken."""
        home = os.open(self.home, os.O_PATH)
        stage = os.open(self.stage, os.O_RDONLY)
        try:
            self.backup.move((home, "bad"), self.step, (stage, "1"))
            return ""
        except (OSError, PathRefused) as error:
            return str(error)
        finally:
            os.close(home)
            os.close(stage)


def at_moment(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], None]) -> list[int]:
    """Before the so-many-th of the calls by which things are looked at and moved, act."""
    count = [0]

    def wrapped(real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **more: object) -> object:
            count[0] += 1
            if count[0] == number:
                act()
            return real(*args, **more)

        return call

    for where, name in (
        (os, "rename"),
        (os, "rmdir"),
        (os, "scandir"),
        (tree, "status"),
        (tree, "survey"),
        (mount_table, "at_or_below"),
        (clone.Clones, "make"),
    ):
        monkeypatch.setattr(where, name, wrapped(getattr(where, name)))
    return count


@pytest.mark.parametrize("disk", ["same", "other"])
@pytest.mark.parametrize("trick", ["in its place", "into it", "for a file"])
def test_no_mount_is_emptied_whenever_it_comes(tmp_path: Path, disk: str, trick: str) -> None:
    """Ann moves the directory with the mount in the place of what goes, or (open) into it."""
    number, moments = 0, 1
    while number < moments:
        number += 1
        top = tmp_path / str(number)
        (top / "moves/home").mkdir(parents=True)
        with suppress_unless(disk == "other", tmpfs(top / "moves/home", "size=4m,mode=755")):
            made: Tree = {f"bad/d{n}/f": "hers\n" for n in range(3)}
            taking = Taking(top, {"bad": "hers\n"} if trick == "for a file" else made)
            home = taking.home
            with network_disk(top, home / "share/nas") as thesis:
                inside = os.open(home / "bad", os.O_RDONLY)

                def act(home: Path = home, inside: int = inside) -> None:
                    with suppress(OSError):
                        if trick == "into it":
                            os.replace(home / "share", "share", dst_dir_fd=inside)
                        else:
                            os.replace(home / "bad", home / "was")
                            os.replace(home / "share", home / "bad")

                with pytest.MonkeyPatch.context() as monkeypatch:
                    count = at_moment(monkeypatch, number, act)
                    taking()
                    undo_ticks.remove(taking.place)
                    moments = count[0]
                os.close(inside)
                assert thesis.read_text() == "his\n", f"moment {number}"
    assert number > 5


@contextmanager
def suppress_unless(wanted: bool, context: object) -> Iterator[None]:
    """A context, or none."""
    if not wanted:
        yield
        return
    with context:  # type: ignore[attr-defined]
        yield


@pytest.mark.parametrize("disk", ["same", "other"])
def test_what_came_in_its_place_goes_back(tmp_path: Path, disk: str) -> None:
    """Whenever it is swapped: what is not what was looked at is hers, and whole."""
    number, moments, refused = 0, 1, 0
    while number < moments:
        number += 1
        top = tmp_path / str(number)
        (top / "moves/home").mkdir(parents=True)
        with suppress_unless(disk == "other", tmpfs(top / "moves/home", "size=4m,mode=755")):
            taking = Taking(top, {"bad/d/f": "to go\n", "good/d/f": "to stay\n"})
            home = taking.home

            def act(home: Path = home) -> None:
                with suppress(OSError):
                    os.replace(home / "bad", home / "was")
                    os.replace(home / "good", home / "bad")

            with pytest.MonkeyPatch.context() as monkeypatch:
                count = at_moment(monkeypatch, number, act)
                words = taking()
                moments = count[0]
            refused += bool(words)
            found = {each.read_text() for each in home.rglob("f") if each.is_file()}
            undo = {each.read_text() for each in taking.undo.rglob("f")}
            assert {*found, *undo} == {"to go\n", "to stay\n"}, f"moment {number}"
            if words:
                assert not undo, f"half of it is kept, moment {number}"
                assert "to stay\n" in found
    assert refused


def test_a_name_that_is_taken_again_is_not_overwritten(tmp_path: Path) -> None:
    make_tree(tmp_path, {"moved": "first\n", "home/name": "second\n"})
    home = os.open(tmp_path / "home", os.O_RDONLY)
    there = tree.move_back(str(tmp_path / "moved"), home, "name")
    os.close(home)
    assert (tmp_path / "home/name").read_text() == "second\n"
    assert (tmp_path / "home" / there).read_text() == "first\n"


def test_a_tree_with_a_mount_in_it_is_neither_walked_nor_removed(tmp_path: Path) -> None:
    with network_disk(tmp_path, tmp_path / "moves/tree/a/b") as thesis:
        with pytest.raises(PathRefused, match="mount point"):
            list(tree.survey(str(tmp_path / "moves/tree")))
        with pytest.raises(OSError, match="mount point"):
            tree.remove(str(tmp_path / "moves/tree"))
        assert thesis.exists()


@pytest.mark.skipif(not fuse.program() or not os.path.exists("/dev/fuse"), reason="no FUSE")
@pytest.mark.timeout(20)
def test_a_mount_that_does_not_answer_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "tree/a/b").mkdir(parents=True)
    with fuse.silent(tmp_path / "tree/a/b"), pytest.raises(OSError, match="mount point"):
        tree.remove(str(tmp_path / "tree"))


@pytest.mark.parametrize("kind", [Dir(0o755), Link("x"), Fifo(0o600), File("x" * 99)])
def test_half_a_clone_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Dir | Link | Fifo | File
) -> None:
    make_tree(tmp_path, {"old": kind})

    def fails(*_: object, **__: object) -> None:
        raise OSError(28, "full")

    monkeypatch.setattr(clone, "_describe", fails)
    with pytest.raises(OSError, match="full"):
        clone.make(str(tmp_path / "old"), str(tmp_path / "new"))
    assert not os.path.lexists(tmp_path / "new")


def test_a_file_that_leaves_the_tree_is_not_taken_for_the_tree(tmp_path: Path) -> None:
    """Half a tree in undo would be all that is left of it."""
    with tmpfs(tmp_path / "pc/home/ann", f"size=4m,mode=755,uid={ANN},gid={ANN}"):
        world = World(tmp_path, {"etc/motd": "1\n"})
        world.good()
        make_tree(world.root, {f"{BAD}/{n}/f": "hers\n" for n in range(5)})
        world.put({f"{BAD}##absent": "", "etc/motd": "2\n"})
        where = str(world.at(BAD))
        code = f"""
import os
from allie.machine.roots import clone
real = clone.Clones.make
def make(self, source, target, **more):
    if "/undo/" in target and target.endswith("/3/f"):
        os.rename({where!r} + "/3/f", {where!r} + "/x")
    return real(self, source, target, **more)
clone.Clones.make = make
"""
        done = world.tick(env=injected(tmp_path / "fault", code))
        assert done.rc == 1
        assert f"/{BAD}" in done.out
        assert len([each for each in world.at(BAD).rglob("*") if each.is_file()]) == 5
        assert not list(world.state("undo").glob(f"*/*/files/{BAD}"))
        world.put({"etc/motd": "3\n"})
        world.tick().ok()
        assert not world.there(BAD)
        assert len(list(world.state("undo").glob(f"*/*/files/{BAD}/*/f"))) == 4


@pytest.mark.parametrize("how", ["a hole", "full"])
def test_what_is_made_large_in_undo_throws_nothing_away(tmp_path: Path, how: str) -> None:
    """Undo has one name of his file, he has another."""
    world = World(tmp_path, {"etc/motd": "0\n", BAD: File("0\n", owner=ANNS)})
    world.put({"home/ann": Dir(owner=ANNS)})
    world.good()
    for number in range(3):
        world.put({"etc/motd": f"{number}{number}\n"})
        world.tick().ok()
    make_tree(world.root, {BAD: File("mine\n", owner=ANNS)})
    os.link(world.at(BAD), world.at("home/ann/second"))
    before = os.listdir(world.state("undo"))
    world.tick().ok()
    with world.at("home/ann/second").open("r+b") as file:
        for _ in range(220 if how == "full" else 0):
            file.write(bytes(1 << 20))
        file.truncate(1 << 40)
    for number in range(3):
        world.put({"etc/motd": f"{number}\n"})
        world.tick().ok()
    assert set(before) < set(os.listdir(world.state("undo")))
    done = world.pc.run("undo", min(before, key=int), timeout=30)
    assert f"/{BAD}" in done.out + done.err, "it was left"
    assert not world.there("etc/motd") or world.read("etc/motd") != "2\n"


def test_what_a_user_has_taken_away_pushes_out_only_itself(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/motd": "0\n", f"{BAD}##absent": ""}, root=HOME)
    world.good()
    for number in range(6):
        if number in (2, 4):
            make_tree(world.root, {f"{BAD}/f": File("x", owner=ANNS)})
            os.truncate(world.at(f"{BAD}/f"), 99 << 20)
        world.put({"etc/motd": f"{number}\n" * (number + 2)})
        world.tick().ok()
    large = []
    for note in world.state("undo").glob("*/overact/bytes"):
        ours, names, others, others_names = map(int, note.read_text().split())
        if others >= 99 << 20:
            large.append(note.parts[-3])
            note.write_text(f"{ours} {names} {2 * others} {others_names}")  # had he taken more
    assert len(large) == 2
    before = {*os.listdir(world.state("undo"))}
    world.put({"etc/motd": "last\n"})
    world.tick().ok()
    assert before - {*os.listdir(world.state("undo"))} == {min(large, key=int)}


DEEP = "import os, sys\nos.chdir(sys.argv[1])\n"
DEEP += "for _ in range({}): os.mkdir('x' * {}); os.chdir('x' * {})"


def nest(where: Path, levels: int, letters: int) -> None:
    """Nest directories of Ann's, deeper than a path can be long."""
    make_tree(where, {"f": ""})
    code = DEEP.format(levels, letters, letters)
    subprocess.run([sys.executable, "-c", code, str(where)], check=True)


@pytest.mark.parametrize(("levels", "letters"), [(45, 200), (60, 1)])
def test_what_could_not_come_back_is_not_taken(tmp_path: Path, levels: int, letters: int) -> None:
    world = World(tmp_path, {"etc/motd": "1\n", f"{BAD}##absent": ""})
    world.good()
    nest(world.at(BAD), levels, letters)
    world.put({"etc/motd": "2\n"})
    done = world.tick()
    assert done.rc == 1
    assert f"/{BAD}" in done.out
    assert world.read("etc/motd") == "2\n"
    world.pc.run("undo").ok()
    assert world.read("etc/motd") == "1\n"
    tree.remove(str(world.at(BAD)))


@pytest.mark.parametrize("how", ["deep", "crowded", "large"])
def test_what_cannot_come_back_is_left_and_the_others_come(tmp_path: Path, how: str) -> None:
    """He has a directory of it open, and goes on in undo."""
    world = World(tmp_path, {"etc/motd##host.pc07": "1\n", f"{BAD}##absent": ""})
    world.good()
    make_tree(world.root, {f"{BAD}/d": Dir(owner=ANNS)})
    world.put({"etc/motd##host.pc07": "2\n"})
    world.tick().ok()
    (there,) = world.state("undo").glob(f"*/overact/files/{BAD}/d")
    if how == "deep":
        nest(there, 45, 200)
    elif how == "crowded":
        make_tree(there, {str(number): "" for number in range(20_100)})
    else:
        make_tree(there, {"f": File("", owner=ANNS)})
        os.truncate(there / "f", 1 << 42)
    done = world.pc.run("undo", timeout=30)
    assert f"/{BAD}" in done.out + done.err
    assert world.read("etc/motd") == "1\n"
    assert not list(world.state("undo").glob(f"*/overact/files/{BAD}"))


def test_a_path_of_a_thousand_levels_is_kept(tmp_path: Path) -> None:
    """A link of his can lead as deep as he likes."""
    backup = Backup(str(tmp_path / "undo"), free_space.Allowance(str(tmp_path)), str(tmp_path))
    os.makedirs(backup.files)
    make_tree(tmp_path, {"conf": File("his\n", owner=ANNS)})
    above = os.open(tmp_path, os.O_PATH)
    real = "a/" * 1100 + "conf"
    step = Step(real, REMOVE, "", ("f:", ""), NOTHING_THERE, None, None)
    backup.link((above, "conf"), step)
    os.close(above)
    assert Path(f"{backup.files}/{real}").read_text() == "his\n"
    tree.remove(str(tmp_path / "undo"))


KB, MB = 1 << 10, 1 << 20
# percent free of the disk and of its inodes; bytes, names, copied, ours; whether it is kept
ROOM = [
    (50, 50, 110 * KB, 1, True, False, True),
    (7, 50, 110 * KB, 1, True, False, False),
    (7, 50, 110 * KB, 1, False, False, True),  # a hard link takes nothing
    (7, 50, 110 * KB, 1, True, True, True),
    (7, 50, 60 * KB, 1, True, False, True),
    (0, 50, 60 * KB, 1, True, True, False),
    (0, 50, 60 * KB, 1, False, True, True),
    (50, 50, 250 * MB, 1, True, True, True),
    (50, 50, 250 * MB, 1, False, False, False),
    (50, 50, MB, 20_000, True, False, True),
    (50, 50, MB, 20_001, True, False, False),
    (50, 50, MB, 20_001, False, False, False),
    (50, 50, MB, 20_001, True, True, True),
    (50, 10, 0, 500, True, False, False),
    (50, 10, 0, 500, False, False, True),
    (50, 10, 0, 5, True, False, True),
    (50, 0, 0, 1, True, False, False),
    (50, 0, 0, 1, False, False, True),
]


@pytest.mark.parametrize(("free", "inodes", "size", "names", "copied", "ours", "fits"), ROOM)
def test_what_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
    free: int,
    inodes: int,
    size: int,
    names: int,
    copied: bool,
    ours: bool,
    fits: bool,
) -> None:
    class Disk:
        f_frsize = 4096
        f_blocks = 1 << 20
        f_bfree = f_bavail = f_blocks * free // 100
        f_files = 100_000
        f_ffree = f_files * inodes // 100

    monkeypatch.setattr(os, "statvfs", lambda _: Disk)
    allowance = free_space.Allowance("/")
    if fits:
        allowance.spend(size, copied, ours=ours, names=names)
    else:
        with pytest.raises(PathRefused):
            allowance.spend(size, copied, ours=ours, names=names)


def test_names_add_up(tmp_path: Path) -> None:
    allowance = free_space.Allowance(str(tmp_path))
    allowance.spend(0, False, ours=False, names=15_000)
    allowance.spend(0, False, ours=True, names=15_000)
    with pytest.raises(PathRefused):
        allowance.spend(0, False, ours=False, names=15_000)


def test_empty_files_do_not_pile_up(tmp_path: Path) -> None:
    """Their names count in undo: what many ticks took of his goes before long."""
    with tmpfs(tmp_path / "pc/home", "size=50m,mode=755"):
        world = World(tmp_path, {"etc/motd": "1\n", f"{BAD}##absent": ""}, root=HOME)
        world.good()
        for number in range(4):
            make_tree(world.root, {f"{BAD}/{n}": "" for n in range(15_000)})
            world.put({"etc/motd": f"{number}\n" * (number + 2)})
            world.tick().ok()
        names = sum(len(each.name) > 0 for each in world.state("undo").rglob("*"))
        assert names < 45_000
        assert stat.S_ISREG(world.at("etc/motd").stat().st_mode)
