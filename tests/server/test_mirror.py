"""`allie store mirror`: a store is made equal to another one, tree by tree, each whole or not."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from allie.core.change.resolution import CONSENT
from allie.core.errors import Busy, NoRoom, SettingsError, StoreError, Unreachable, UsageError
from allie.machine.files import lock
from allie.machine.namespaces import processes_inside
from allie.machine.transfer import listing
from allie.server import lint_settings, mirror_state, systemd
from allie.server import store as stores
from allie.server.images import draft
from allie.server.mirroring import mirror, timer, trees, upstream
from allie.server.mirroring.mirror import Mirrored
from tests.crash import ptrace, world
from tests.worlds.debian import UnavailableError, debian_root
from tests.worlds.one_pc import tmpfs
from tests.worlds.pc import ENVIRONMENT, Result, ended
from tests.worlds.store import Served, ServedByAllie, served
from tests.worlds.toy import Device, File, Hard, Link, Tree, make_tree
from tests.worlds.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.root]
needs_ptrace = pytest.mark.skipif(not ptrace.works(), reason="needs ptrace")
OLD = 1_700_000_000.5
COMMON: Tree = {f"etc/f{each:02}": File(f"{each}\n", mtime=OLD) for each in range(30)}
IMAGE: Tree = {
    "etc/os-release": "ID=toy\n",
    "etc/shadow": File("root:x\n", 0o600, (0, 42), OLD),
    "usr/bin/su": File("#!\n", 0o4755, (0, 0), OLD),
    "usr/bin/other": Hard("usr/bin/su"),
    "usr/share/x/.git/config": "of the image's own\n",
    "dev/null": Device(1, 3),
    "lib": Link("usr/lib"),
}


@pytest.fixture
def one(tmp_path: Path) -> Path:
    """The store that is mirrored: two overlays, an image, releases with rings, and secrets."""
    store = tmp_path / "one"
    stores.init(str(store))
    make_tree(store / "overlays/common", {**COMMON, "etc/.git/config": "not for PCs\n"})
    make_tree(store / "overlays/lab", {"etc/lab": File("lab\n", 0o640, (0, 42), OLD)})
    make_tree(store / "images/toy1", IMAGE)
    make_tree(store / "images/.parts/toy2/tree", IMAGE)
    for number in (9, 10):
        make_tree(store / f"releases/common/{number}", {**COMMON, "etc/n": f"{number}\n"})
    make_tree(store / "releases/common", {"stable": Link("9"), "test": Link("10")})
    make_tree(store / "releases/common", {"odd": Link("../../overlays/common")})
    make_tree(store, {"private/pc07/etc/key": "secret\n", "inbox/pc07/report": "{}"})
    make_tree(store, {"etc/ssh_host_ed25519_key": "secret\n"})
    return store


@pytest.fixture
def two(tmp_path: Path) -> Path:
    return tmp_path / "two"


def seen(store: Path) -> dict[str, Any]:
    """All that PCs may read, but for what the store does not show them."""
    found = {}
    for name in world.walk(store):
        words = name.split("/")
        shown = words[0] in stores.MODULES and ".parts" not in words
        if shown and not (words[0] == "overlays" and ".git" in words):
            what = world.facts(store / name)
            # What is being made links to what is there, and one release to another
            found[name] = (*what[:4], *what[5:]) if what[0] == "file" else what
    return found


def same(one: Path, two: Path) -> dict[str, Any]:
    wanted = {name: what for name, what in seen(one).items() if not name.endswith("/odd")}
    return world.differences(wanted, seen(two))


def left(two: Path) -> list[str]:
    """What is still being made."""
    return [str(each) for each in two.glob("*/.parts/*")] + [
        str(each) for each in two.glob("releases/*/.parts/*")
    ]


def again(one: Path, two: Path) -> Mirrored:
    done = mirror.mirror(str(one), str(two))
    assert not same(one, two)
    assert not left(two)
    return done


def state(two: Path) -> Any:
    return json.loads((two / mirror_state.NAME).read_text())


def allie(*argv: str) -> Result:
    return ended([sys.executable, "-m", "allie.cli.main", *argv], ENVIRONMENT, 60)


@pytest.mark.parametrize("by", ["path", "daemon"])
def test_all_that_is_served_comes_and_nothing_else(one: Path, two: Path, by: str) -> None:
    with ServedByAllie(one) as server:
        source = str(one) if by == "path" else server.url
        done = mirror.mirror(source, str(two))
    assert not same(one, two)
    first = done.came.index
    assert first("releases/common/10") < first("images/toy1") < first("releases/common/stable")
    assert first("releases/common/stable") < first("overlays/common")
    assert not done.refused
    assert os.path.samefile(two / "images/toy1/usr/bin/su", two / "images/toy1/usr/bin/other")
    assert not list(two.glob("private/*")) and not list(two.glob("inbox/*"))
    assert not (two / "etc").exists()
    assert not os.path.lexists(two / "images/toy2")
    assert not os.path.lexists(two / "releases/common/odd")
    assert state(two)["source"] == source and state(two)["trouble"] == ""
    assert again(one, two).came == []


def test_what_changes_comes_and_what_is_gone_goes(one: Path, two: Path) -> None:
    again(one, two)
    inode = (two / "overlays/common/etc/f01").stat().st_ino
    make_tree(one / "overlays/common", {"etc/f00": "new\n"})
    make_tree(one / "images/toy1", {"etc/new": "new\n"})
    shutil.rmtree(one / "overlays/lab")
    make_tree(one / "releases/common/11", {**COMMON, "etc/n": "11\n"})
    (one / "releases/common/stable").unlink()
    make_tree(one / "releases/common", {"stable": Link("11")})
    (one / "releases/common/test").unlink()
    shutil.rmtree(one / "releases/common/9")
    done = again(one, two)
    assert done.came == [
        "releases/common/11",
        "images/toy1",
        "releases/common/stable",
        "overlays/common",
    ]
    assert done.gone == ["overlays/lab", "releases/common/test", "releases/common/9"]
    assert (two / "overlays/common/etc/f01").stat().st_ino == inode, "it is linked"


def test_an_edit_that_keeps_size_and_time_comes_within_a_day(one: Path, two: Path) -> None:
    again(one, two)
    make_tree(one / "images/toy1", {"usr/bin/su": File("#?\n", 0o4755, (0, 0), OLD)})
    (one / "images/toy1/usr/bin/other").unlink()
    os.link(one / "images/toy1/usr/bin/su", one / "images/toy1/usr/bin/other")
    os.utime(one / "images/toy1/usr/bin", ns=(0, (two / "images/toy1/usr/bin").stat().st_mtime_ns))
    assert mirror.mirror(str(one), str(two)).came == []
    known = mirror_state.read(str(two))
    assert known
    mirror_state.write(str(two), known._replace(thorough=time.time() - 25 * 3600))
    assert again(one, two).came == ["images/toy1"]
    assert time.time() - state(two)["thorough"] < 60


def test_an_emptied_store_takes_nothing_away(one: Path, two: Path) -> None:
    again(one, two)
    before = seen(two)
    shutil.rmtree(one / "overlays/common/etc")
    done = mirror.mirror(str(one), str(two))
    assert len(done.refused) == 1 and "lost 30 of its 30 files" in done.refused[0]
    assert seen(two) == before and not left(two)
    assert "lost 30" in state(two)["trouble"]
    shutil.move(one / "images", one / "aside")
    (one / "images").mkdir()
    shutil.rmtree(one / "overlays/common")
    shutil.rmtree(one / "images/toy1", ignore_errors=True)
    done = mirror.mirror(str(one), str(two))
    assert [words.partition(":")[0] for words in done.refused] == ["overlays", "images"]
    assert seen(two) == before
    shutil.rmtree(one / "overlays")
    (one / "overlays").mkdir()
    with pytest.raises(StoreError, match="has no overlay kit"):
        mirror.mirror(str(one), str(two))
    assert seen(two) == before


def test_an_overlay_without_its_releases_loses_none(one: Path, two: Path) -> None:
    make_tree(one / "releases/common/8", COMMON)
    again(one, two)
    shutil.rmtree(one / "releases/common")
    (one / "releases/common").mkdir()
    done = mirror.mirror(str(one), str(two))
    assert len(done.refused) == 1 and "common: 8 would go" in done.refused[0]
    assert (two / "releases/common/stable/etc/n").read_text() == "9\n"


def test_a_release_to_which_a_ring_leads_stays(one: Path, two: Path) -> None:
    again(one, two)
    make_tree(one / "releases/common/11", COMMON)
    shutil.rmtree(one / "releases/common/9")
    (one / "releases/common/stable").unlink()
    make_tree(one / "releases/common", {"stable": Link("11")})
    with draft.begun(str(two), "11", "releases/common"):
        done = mirror.mirror(str(one), str(two))
    assert "working on release 11" in done.refused[0]
    assert (two / "releases/common/stable/etc/n").read_text() == "9\n"
    again(one, two)


def test_a_thorough_look_is_taken_once_a_day_whatever_is_refused(one: Path, two: Path) -> None:
    for name in ("etc", "usr"):
        shutil.rmtree(one / "images/toy1" / name)
    mirror.mirror(str(one), str(two))
    first = state(two)
    assert first["thorough"] and not first["current"]
    mirror.mirror(str(one), str(two))
    assert state(two)["thorough"] == first["thorough"]


def test_an_ssh_door_is_for_pcs(two: Path) -> None:
    with pytest.raises(SettingsError, match="door"):
        mirror.mirror("ssh://server:8730", str(two))


def test_what_is_meant_to_go_goes(one: Path, two: Path) -> None:
    again(one, two)
    shutil.rmtree(one / "overlays/common/etc")
    make_tree(one / "overlays/common", {CONSENT: ""})
    assert again(one, two).came == ["overlays/common"]


def test_an_image_that_is_no_system_is_left_and_holds_up_no_other(one: Path, two: Path) -> None:
    again(one, two)
    shutil.rmtree(one / "images/toy1")
    (one / "images/toy1").mkdir()
    make_tree(one / "images/toy3", IMAGE)
    make_tree(one / "images/toy4", {"etc/os-release": "ID=toy4\n"})  # PCs take it, too
    make_tree(one / "overlays/lab", {"etc/new": ""})
    done = mirror.mirror(str(one), str(two))
    assert done.came == ["images/toy3", "images/toy4", "overlays/lab"]
    assert "images/toy1 is no system" in done.refused[0]
    assert (two / "images/toy1/etc/shadow").exists()


def test_what_this_machine_has_in_the_way_holds_up_no_other(one: Path, two: Path) -> None:
    """A mount in an image, a link that an administrator made of an overlay."""
    mirror.mirror(str(one), str(two))
    (two / "overlays/common").rename(two / "moved")
    (two / "overlays/common").symlink_to("../moved")
    make_tree(one, {"images/toy1/etc/new": "", "images/toy2/etc/new": "", "images/toy2/usr/x": ""})
    make_tree(one / "overlays", {"common/etc/new": "new\n", "lab/etc/new": "new\n"})
    with tmpfs(two / "images/toy1/dev", "size=1m"):
        done = mirror.mirror(str(one), str(two))
        assert done.came == ["images/toy2", "overlays/lab"]
        assert "images/toy1/dev is mounted" in done.refused[0]
        assert "overlays/common is a symlink" in done.refused[1]
    (two / "overlays/common").unlink()
    assert not mirror.mirror(str(one), str(two)).refused
    assert (two / "overlays/common/etc/new").exists() and (two / "images/toy1/etc/new").exists()


def test_a_store_that_is_away_leaves_all_as_it_is(one: Path, two: Path) -> None:
    with served(one) as server:
        mirror.mirror(server.url, str(two))
        before, current = seen(two), state(two)["current"]
        server.stop()
        with pytest.raises(Unreachable):
            mirror.mirror(server.url, str(two))
    assert seen(two) == before
    assert state(two)["current"] == current
    assert "does not answer" in state(two)["trouble"]


def test_a_store_of_its_own_is_not_overwritten(one: Path, two: Path) -> None:
    stores.init(str(two))
    make_tree(two / "overlays/common", {"etc/mine": "mine\n"})
    with pytest.raises(UsageError, match="a store of its own"):
        mirror.mirror(str(one), str(two))
    with pytest.raises(UsageError, match="itself"):
        mirror.mirror(f"{two}/", str(two))
    (two / "store.conf").write_text("[serve]\nhosts allow = 192.0.2.7\n")
    mirror.mirror(str(one), str(two), overwrite=True)
    assert not same(one, two)
    assert "192.0.2.7" in (two / "store.conf").read_text()


@pytest.mark.parametrize("ours", [".", "overlays/lab/in", "..", "../link/in"])
def test_neither_store_lies_in_the_other(one: Path, ours: str) -> None:
    """One that holds its own copy grows with each run; a source in a mirror is pruned away."""
    (one.parent / "link").symlink_to(one)
    with pytest.raises(UsageError, match=r"itself|one within the other"):
        mirror.mirror(str(one), str(one / ours), overwrite=True)
    assert not (one / "overlays/lab/in").exists()


def test_it_says_that_it_is_a_mirror(one: Path, two: Path) -> None:
    again(one, two)
    found = [str(each) for each in lint_settings.of_store(str(two))]
    assert (
        len(found) == 1
        and f"this is a mirror of {one}: edits are overwritten; equal to it last at" in found[0]
    )
    assert "overwritten" in found[0]
    assert mirror_state.NAME not in {each.path for each in lint_settings.of_store(str(one))}
    (two / mirror_state.NAME).write_text("{")
    assert mirror_state.read(str(two)) == mirror_state.MirrorState("")


def test_two_at_once(one: Path, two: Path) -> None:
    again(one, two)
    busy = Busy("no")
    with lock.of_directory(f"{two}/.mirror", lambda: busy), pytest.raises(Busy):
        mirror.mirror(str(one), str(two))
    with draft.begun(str(two), "toy1"):
        make_tree(one / "images/toy1", {"etc/new": ""})
        make_tree(one / "overlays/lab", {"etc/new": ""})
        done = mirror.mirror(str(one), str(two))
    assert done.came == ["overlays/lab"] and "working on image toy1" in done.refused[0]
    again(one, two)


def test_a_full_disk_gets_its_room_back(
    one: Path, two: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again(one, two)
    before = seen(two)
    make_tree(one / "images/toy1", {"etc/new": ""})
    fetch = upstream.fetch

    def full(*args: Any) -> Any:
        done = fetch(*args)
        words = f"rsync: write failed: {os.strerror(errno.ENOSPC)} (28)\n".encode()
        return done._replace(code=11, err=words)

    monkeypatch.setattr(upstream, "fetch", full)
    with pytest.raises(NoRoom):
        mirror.mirror(str(one), str(two))
    assert seen(two) == before and not left(two)


def test_a_disk_that_is_too_small(one: Path, two: Path) -> None:
    make_tree(one / "images/toy1", {"opt/0": File(os.urandom(1 << 20))})
    with tmpfs(two, "size=12m"):
        again(one, two)
        before = seen(two)
        make_tree(one / "images/toy1", {f"opt/{n}": File(os.urandom(1 << 20)) for n in range(14)})
        with pytest.raises(NoRoom):
            mirror.mirror(str(one), str(two))
        assert seen(two) == before and not left(two)
        assert "disk" in state(two)["trouble"]
        for number in range(3, 14):
            (one / f"images/toy1/opt/{number}").unlink()
        again(one, two)


def test_who_reads_an_image_reads_on_in_what_was_replaced(one: Path, two: Path) -> None:
    """As a PC does that fetches it: with a trailing slash, from a daemon in a chroot."""
    noise: Tree = {f"opt/{a}/{b}": File(os.urandom(50_000)) for a in range(20) for b in range(5)}
    make_tree(one / "images/toy1", noise)
    again(one, two)
    before = {name: what for name, what in seen(two).items() if name.startswith("images/toy1")}
    with ServedByAllie(two) as server:
        pc = two.parent / "pc/images"
        pc.mkdir(parents=True)
        argv = ["rsync", "-aHAXS", "--numeric-ids", "--bwlimit=1500", "-v"]
        reader = subprocess.Popen([*argv, f"{server.url}/images/toy1/", f"{pc}/toy1/"])
        until(lambda: any(pc.glob("toy1/opt/*/*")), "the first files have come")
        for each in range(3):
            make_tree(one / f"images/toy1/opt/{each}", {"0": "new\n", "new": "new\n"})
        shutil.rmtree(one / "images/toy1/opt/19")
        mirror.mirror(str(one), str(two))
        assert reader.poll() is None, "it was too quick for this test"
        assert not same(one, two)
        old = two / "images/.parts/toy1/old"
        assert old.exists() and processes_inside.at_work(str(old))
        mirror.mirror(str(one), str(two))
        assert old.exists()
        assert reader.wait(60) == 0
    copied = {name: world.facts(pc.parent / name) for name in before}
    kept = {name: what for name, what in before.items() if what[0] != "file"}
    assert not world.differences(kept, {name: copied[name] for name in kept})
    for name in before.keys() - kept.keys():
        assert copied[name][5] == before[name][4], name
    again(one, two)


@needs_ptrace
def test_killed_at_any_step(one: Path, two: Path, tmp_path: Path) -> None:
    """What is there is whole, the old or the new; the next run goes on, and nothing is left."""
    again(one, two)
    make_tree(one / "overlays/common", {"etc/f00": "new\n", "etc/new": "new\n"})
    make_tree(one / "images/toy1", {"etc/new": "new\n", "usr/bin/new": "new\n"})
    make_tree(one / "releases/common/11", COMMON)
    (one / "releases/common/stable").unlink()
    make_tree(one / "releases/common", {"stable": Link("11")})
    shutil.rmtree(one / "overlays/lab")
    old, new = seen(two), seen(one)

    def work(store: Path) -> Any:
        return lambda: 0 if mirror.mirror(str(one), str(store)) else 1

    def trial(name: str) -> Path:
        shutil.rmtree(tmp_path / name, ignore_errors=True)
        subprocess.run(["cp", "-a", two, tmp_path / name], check=True)
        return tmp_path / name

    counted = ptrace.trace(work(trial("counted")), below=tmp_path)
    assert counted.code == 0, counted.out
    total = len(counted.steps)
    for number in sorted({1 + place * total // 40 for place in range(40)}):
        store = trial("trial")
        ptrace.trace(work(store), number, below=tmp_path)
        now = seen(store)
        for top in ("overlays/common", "images/toy1", "releases/common/11"):
            few = [
                {name: what for name, what in each.items() if f"{name}/".startswith(f"{top}/")}
                for each in (now, old, new)
            ]
            assert few[0] in few[1:], f"step {number}: {counted.steps[number - 1]}"
        again(one, store)


def test_a_store_that_dies_in_the_middle(one: Path, two: Path) -> None:
    again(one, two)
    before = seen(two)
    big: Tree = {f"usr/share/{each}": File(os.urandom(1 << 20)) for each in range(12)}
    make_tree(one / "images/toy1", big)
    with served(one) as server:
        able = upstream.of(server.url, f"{two}/.mirror", "4M")
        pid = os.fork()
        if not pid:
            time.sleep(1)
            server.stop()
            os._exit(0)
        with pytest.raises(StoreError):
            trees.bring(able, str(two), trees.Piece("images", "toy1"))
        os.waitpid(pid, 0)
    assert seen(two) == before
    assert left(two), "what came is kept for the next run"
    again(one, two)


def test_a_ring_is_read_from_a_listing() -> None:
    out = (
        b"drwxr-xr-x          4,096 2026/11/29 04:00:00 .\n"
        b"drwxr-xr-x          4,096 2026/11/29 04:00:00 41\n"
        b"lrwxrwxrwx              2 2026/11/29 04:00:00 stable -> 41\n"
    )
    assert listing.parse(out) == ["41"]
    import re

    assert re.findall(upstream._LINK, out) == [(b"stable", b"41")]


def test_the_timer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs, units = tmp_path / "bin", tmp_path / "units"
    make_tree(programs, {"systemctl": File(f'#!/bin/sh\necho "$@" >>{tmp_path}/log\n', 0o755)})
    units.mkdir()
    monkeypatch.setattr(systemd, "own_program", lambda: sys.executable)
    monkeypatch.setenv("ALLIE_PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setattr(systemd, "DIRECTORY", str(units))
    monkeypatch.setattr(systemd, "is_there", lambda: True)
    written = timer.install("rsync://server", str(tmp_path / "a b"), "", "15min")
    assert [Path(each).name for each in written] == ["allie-mirror.service", "allie-mirror.timer"]
    assert timer.install("rsync://server", str(tmp_path / "a b"), "", "15min") == []
    text = (units / "allie-mirror.service").read_text()
    assert f'store mirror rsync://server --store "{tmp_path}/a b"\n' in text
    assert "OnUnitInactiveSec=15min\n" in (units / "allie-mirror.timer").read_text()
    if shutil.which("systemd-analyze"):
        argv = ["systemd-analyze", "verify", *map(str, units.iterdir())]
        said = subprocess.run(argv, capture_output=True, text=True, check=False).stderr
        assert not [line for line in said.splitlines() if "allie-mirror" in line], said
    assert len(timer.remove()) == 2 and timer.remove() == []
    log = (tmp_path / "log").read_text()
    assert log.count("enable --now allie-mirror.timer") == 2
    assert log.count("disable --now allie-mirror.timer") == 1
    with pytest.raises(UsageError, match="no time"):
        timer.install("rsync://server", "/srv/allie", "", "now and then")


def test_the_command(one: Path, two: Path) -> None:
    argv = ["store", "mirror", str(one), "--store", str(two)]
    done = allie(*argv).ok()
    assert "brought images/toy1" in done.out
    assert allie(*argv).ok().out == ""
    shutil.rmtree(one / "overlays/common/etc")
    done = allie(*argv)
    assert done.rc == 1 and "overlays/common lost 30" in done.err
    assert allie("store", "mirror").rc == 64
    shutil.move(one, one.parent / "away")
    done = allie(*argv)
    assert done.rc == 2 and len(done.err.strip().splitlines()) <= 2


def test_a_port_that_nobody_serves(tmp_path: Path) -> None:
    server = Served(tmp_path)
    began = time.monotonic()
    with pytest.raises(Unreachable):
        mirror.mirror(f"rsync://{server.host}:1", str(tmp_path / "two"))
    assert time.monotonic() - began < 12


def test_what_was_read_goes_with_the_next_image(one: Path) -> None:
    """Also where nobody works on that image again."""
    make_tree(one / "images/toy3", IMAGE)
    with subprocess.Popen(["sleep", "60"], cwd=one / "images/toy1") as reader:
        with draft.begun(str(one), "toy1") as work:
            draft.fresh(work)
            make_tree(Path(work.tree), IMAGE)
            draft.switch(work)
        old = one / "images/.parts/toy1/old"
        with draft.begun(str(one), "toy3"):
            assert old.exists()
        reader.kill()
    with draft.begun(str(one), "toy3"):
        assert not old.exists()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_with_the_rsync_of_debian_11(one: Path, tmp_path: Path) -> None:
    """And its Python 3.9, as the mirror."""
    try:
        root = debian_root("bullseye", tmp_path / "server", ("python3", "rsync"))
    except UnavailableError as error:
        pytest.skip(str(error))
    with ServedByAllie(one) as server:
        argv = ["store", "mirror", server.url]
        assert "brought images/toy1" in in_root(root, *argv).stdout
        assert not same(one, root / "srv/allie")
        assert in_root(root, *argv).stdout == ""
        make_tree(one / "images/toy1", {"etc/new": "new\n"})
        shutil.rmtree(one / "overlays/lab")
        assert in_root(root, *argv).stdout == "brought images/toy1\nremoved overlays/lab\n"
        assert not same(one, root / "srv/allie")


def in_root(root: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """ALLiE's program in another root, which sees this one's network."""
    alone = ["unshare", "-m", "--propagation", "private", "sh", "-c", IN_ROOT, "sh"]
    source = Path(__file__).parents[2] / "src"
    done = subprocess.run(
        [*alone, str(root), str(source), *argv],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


IN_ROOT = """\
set -e
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount --bind /dev "$1/dev"
mount --bind "$2" "$1/mnt"
export PYTHONPATH=/mnt PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
root=$1; shift 2
exec chroot "$root" python3 -m allie.cli.main "$@"
"""
