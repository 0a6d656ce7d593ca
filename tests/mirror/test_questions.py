"""What a routine tick asks a store: what changed, and of what is gone only that something is.

docs/internals/rules.md, "A routine tick asks less".
"""

from __future__ import annotations

import os
import random
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from allie.machine.files import atomic
from allie.server.mirroring import mirror
from tests.worlds.one_pc import World
from tests.worlds.pc import Result
from tests.worlds.store import served
from tests.worlds.toy import Dir, make_tree

pytestmark = [pytest.mark.real, pytest.mark.root]

ROUTINE = {"ALLIE_ROUTINE": "1"}
STEPS = 8


def mirrored(world: World) -> dict[str, str]:
    return contents(world.state("mirror/current") / "common")


def contents(top: Path) -> dict[str, str]:
    """What is in a tree: names, kinds, contents and times."""
    found = {}
    for path in sorted(top.rglob("*")):
        what = (
            os.readlink(path) if path.is_symlink() else "d" if path.is_dir() else path.read_text()
        )
        found[str(path.relative_to(top))] = f"{what} {path.lstat().st_mtime_ns}"
    return found


def edit(rng: random.Random, top: Path) -> None:
    """One thing that somebody does to an overlay."""
    files = [path for path in sorted(top.rglob("*")) if path.is_file() or path.is_symlink()]
    directories = [path for path in sorted(top.rglob("*")) if path.is_dir() and path.parent != top]
    place = rng.choice([*directories, top / "etc"])
    kind = rng.choice(["write", "new", "remove", "rename", "drop", "turn", "save", "link"])
    if kind == "write" or not files or not directories:
        (place / "written").write_text(f"{rng.random()}")
    elif kind == "new":
        (place / f"d{rng.randrange(9)}/e").mkdir(parents=True, exist_ok=True)
        (place / f"n{rng.randrange(9)}").write_text(f"{rng.random()}")
    elif kind == "remove":
        rng.choice(files).unlink()
    elif kind == "rename":
        rng.choice(files).rename(place / f"renamed{rng.randrange(9)}")
    elif kind == "drop":
        shutil.rmtree(rng.choice(directories))
    elif kind == "turn":  # a file where a directory was
        gone = rng.choice(directories)
        shutil.rmtree(gone)
        gone.write_text("turned")
    elif kind == "save":  # as editors do
        old = rng.choice(files)
        beside = old.with_name("beside")
        beside.write_text(f"{rng.random()}")
        beside.rename(old)
    else:
        link = place / f"l{rng.randrange(9)}"
        link.unlink(missing_ok=True)
        link.symlink_to("nowhere")


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_edited_a_routine_tick_has_all_of_it(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    world = World(tmp_path, {f"etc/d{n % 5}/e{n % 3}/f{n}": f"{n}\n" for n in range(40)})
    (world.overlay() / "etc/.large-change").touch()
    with served(world.store) as server:
        world.follow(store=server.url)
        world.good()
        for _ in range(STEPS):
            for _ in range(rng.randrange(1, 4)):
                edit(rng, world.overlay())
            world.tick(env=ROUTINE).ok()
            assert mirrored(world) == contents(world.overlay())


@pytest.mark.parametrize("ways", ["ring", "own", "mirror", "ring own", "ring mirror own"])
def test_so_it_is_by_a_ring_a_mirror_and_what_is_its_own(tmp_path: Path, ways: str) -> None:
    rng = random.Random(ways)
    tree = {f"d{n % 5}/e{n % 3}/f{n}": f"{n}\n" for n in range(40)}
    world = World(tmp_path, {f"etc/{name}": text for name, text in tree.items()})
    mine, store, other = world.overlay(), world.store, tmp_path / "two"
    own, releases = store / "private/pc07", store / "releases/common"
    make_tree(store, {"images": Dir(), "releases/common": Dir()})
    if "own" in ways:
        make_tree(own, {f"etc/own/{name}": text for name, text in tree.items()})
    for top in (mine, own) if "own" in ways else (mine,):
        make_tree(top, {".allie-withdraw": ""})

    def publish(number: int) -> None:
        if "ring" in ways:
            subprocess.run(["cp", "-a", mine, releases / f"{number}"], check=True)
            atomic.point(str(releases / "stable"), f"{rng.choice([number, number // 2])}")
        if "mirror" in ways:
            mirror.mirror(str(store), str(other))

    publish(0)
    stores = f"{other}, {store}" if "mirror" in ways else ""
    world.follow(store=stores, ring="stable" if "ring" in ways else "")
    world.good()
    for number in range(1, STEPS):
        for _ in range(rng.randrange(1, 4)):
            edit(rng, mine)
            if "own" in ways:
                edit(rng, own)
        publish(number)
        world.tick(env=ROUTINE).ok()
        current = world.state("mirror/current")
        source = releases / os.readlink(releases / "stable") if "ring" in ways else mine
        assert contents(current / "common/etc") == contents(source / "etc")
        if "own" in ways:
            assert contents(current / "private/etc") == contents(own / "etc")


def test_who_puts_a_directorys_time_back_is_seen_by_who_watches(tmp_path: Path) -> None:
    """Nobody removes a file so; a thorough tick, once a day, sees it all the same."""
    world = World(tmp_path, {"etc/a": "a\n", "etc/b": "b\n"})
    world.good()
    place = world.overlay() / "etc"
    st = place.stat()
    (place / "b").unlink()
    os.utime(place, ns=(st.st_atime_ns, st.st_mtime_ns))
    world.tick(env=ROUTINE).ok()
    assert world.there("etc/b")
    world.tick().ok()
    assert not world.there("etc/b")


def test_one_question_where_no_directory_is_another(tmp_path: Path) -> None:
    """An edit in place costs a question and a fetch; a removal one question more.

    What was fetched is asked for in full once.
    """
    world = World(tmp_path, {"etc/a": "a\n", "etc/b": "b\n"})
    world.good()
    (world.overlay() / "etc/a").write_text("new\n")
    assert asked(world, tmp_path) == ["question", "fetch"]
    assert asked(world, tmp_path) == ["question --delete"]
    assert asked(world, tmp_path) == ["question"]
    (world.overlay() / "etc/b").unlink()
    assert asked(world, tmp_path) == ["question", "question --delete", "fetch"]
    assert asked(world, tmp_path) == ["question --delete"]
    assert asked(world, tmp_path) == ["question"]


@pytest.mark.parametrize("how", ["in place", "as editors do", "a removal"])
def test_what_goes_while_a_change_is_fetched_is_gone_at_the_next_tick(
    tmp_path: Path, how: str
) -> None:
    """With a file the time of its directory comes, which is then from after the removal."""
    world = World(tmp_path, {"etc/a": "a\n", "etc/b": "b\n", "etc/c": "c\n", "etc/d": "d\n"})
    world.good()
    place = world.overlay() / "etc"
    if how == "a removal":
        (place / "c").unlink()
    else:
        beside = place / ("a" if how == "in place" else "new")
        beside.write_text("new\n")
        beside.rename(place / "a")
    fetched = f"*--files-from*{world.store}*) rm {shlex.quote(str(place / 'b'))}"
    with_rsync(world, tmp_path, f'case "$*" in {fetched};; esac\nexec /usr/bin/rsync "$@"\n').ok()
    assert not (place / "b").exists()
    world.tick(env=ROUTINE).ok()
    assert mirrored(world) == contents(world.overlay())
    assert not world.there("etc/b")


def asked(world: World, tmp_path: Path) -> list[str]:
    """What rsync is started for in a routine tick, but for its own copies."""
    log = tmp_path / "log"
    log.unlink(missing_ok=True)
    with_rsync(world, tmp_path, f'echo "$*" >>{shlex.quote(str(log))}\nexec /usr/bin/rsync "$@"\n')
    found = []
    for line in log.read_text().splitlines():
        words = line.split()
        kind = "question" if "-n" in words else "fetch" if str(world.store) in line else ""
        found += [f"{kind} --delete" if "--delete" in words else kind] if kind else []
    return found


@pytest.mark.parametrize("said", [">f+++++++++", "*deleting  "])
@pytest.mark.parametrize("name", ["../../etc/x", "other/etc/x", "common/../other/x", "."])
def test_a_name_that_nobody_asked_for_is_refused(tmp_path: Path, name: str, said: str) -> None:
    """A store that answers so is no store of ours; nothing of it is taken, or removed.

    What a server says is printed among the names by rsync.
    """
    world = World(tmp_path, {"etc/a": "a\n"})
    world.good()
    (world.overlay() / "etc/a").write_text("new\n")
    answers = f"case \"$*\" in *' -n '*) printf '%s\\n' '{said} {name}'; exit 0;; esac\n"
    done = with_rsync(world, tmp_path, f'{answers}exec /usr/bin/rsync "$@"\n')
    assert done.rc == 1
    assert f"answers with '{name}', which nobody asked for: nothing is taken" in done.out
    assert world.read("etc/a") == "a\n"


def with_rsync(world: World, tmp_path: Path, text: str) -> Result:
    """A routine tick with a program of ours in rsync's place."""
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    (folder / "rsync").write_text(f"#!/bin/sh\n{text}")
    (folder / "rsync").chmod(0o755)
    return world.tick(env={**ROUTINE, "ALLIE_PATH": f"{folder}:/usr/bin:/bin"})
