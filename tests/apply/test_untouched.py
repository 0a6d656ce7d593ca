"""What the ledger vouches for, what is drift, and what only moved.

docs/internals/rules.md, "What vouches for a file" and "A ledger speaks of one tree".
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from allie.core.change import ledger
from tests.worlds.one_pc import World, injected, snapshot
from tests.worlds.toy import File, make_tree

pytestmark = [pytest.mark.real, pytest.mark.root]


def test_an_untouched_file_is_not_read(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n", "etc/b##host.pc07": "2\n"})
    world.good()
    trace = tmp_path / "trace"
    src = str(Path(__file__).parents[2] / "src")
    for part in ("00overlay", "01overact"):
        argv = ["strace", "-f", "-o", str(trace), "-e", "trace=open,openat,openat2"]
        subprocess.run(
            [*argv, *world.pc.argv(part)],
            check=True,
            capture_output=True,
            env={**world.pc.env, "PYTHONPATH": src},
        )
        opened = trace.read_text()
        assert f'{world.root}/etc/a"' not in opened
        assert f'{world.root}/etc/b"' not in opened


@pytest.mark.parametrize("edit", ["acl", "xattr", "capability", "mode", "owner", "in place"])
def test_every_kind_of_edit_is_drift(tmp_path: Path, edit: str) -> None:
    world = World(tmp_path, {"etc/a": File("1234\n", mtime=1_500_000_000)})
    world.good()
    path = world.at("etc/a")
    if edit == "acl":
        subprocess.run(["setfacl", "-m", "u:1000:rw", str(path)], check=True)
    elif edit == "xattr":
        os.setxattr(path, "user.note", b"x")
    elif edit == "capability":
        caps = bytes.fromhex("0100000200040000000000000000000000000000")
        os.setxattr(path, "security.capability", caps)
    elif edit == "mode":
        path.chmod(0o666)
    elif edit == "owner":
        os.chown(path, 1000, 1000)
    else:
        path.write_text("4321\n")
        os.utime(path, (1_500_000_000, 1_500_000_000))
    assert "drift: /etc/a" in world.good()
    assert world.read("etc/a") == "1234\n"
    assert os.listxattr(path) == []


@pytest.mark.parametrize("change", ["setfacl", "setfattr", "setcap", "chmod", "chown"])
def test_every_kind_of_change_in_the_store_arrives(tmp_path: Path, change: str) -> None:
    world = World(tmp_path, {"usr/bin/a": File("1234\n", 0o755, mtime=1_500_000_000)})
    world.good()
    path = world.overlay() / "usr/bin/a"
    if change == "setfacl":
        subprocess.run(["setfacl", "-m", "u:1000:rw", str(path)], check=True)
    elif change == "setfattr":
        os.setxattr(path, "user.note", b"x")
    elif change == "setcap":
        subprocess.run(["setcap", "cap_net_raw=ep", str(path)], check=True)
    elif change == "chmod":
        path.chmod(0o4711)
    else:
        os.chown(path, 5, 6)
    world.good()
    placed = snapshot(world.root)["usr/bin/a"]
    wanted = snapshot(world.overlay())["usr/bin/a"]
    assert (placed.mode, placed.owner, placed.xattrs) == (wanted.mode, wanted.owner, wanted.xattrs)


def test_changes_that_came_while_paused_are_all_seen(tmp_path: Path) -> None:
    """The inode that the ledger names is kept meanwhile: no later file may pass for it."""
    world = World(tmp_path, {"etc/a": File("1\n", mtime=1_500_000_000), "etc/b": "1\n"})
    world.good()
    world.pc.run("pause").ok()
    path = world.overlay() / "etc/a"
    for user in ("1000", "1001", "1002"):
        subprocess.run(["setfacl", "-b", "-m", f"u:{user}:rw", str(path)], check=True)
        world.tick().ok()
    world.put({"etc/b": "2\n"})
    world.tick().ok()
    assert world.read("etc/b") == "1\n"
    world.pc.run("resume").ok()
    world.good()
    assert os.getxattr(world.at("etc/a"), "system.posix_acl_access") == os.getxattr(
        path, "system.posix_acl_access"
    )
    assert world.read("etc/b") == "2\n"


@pytest.mark.parametrize("move", ["cp -a", "touch", "hard link", "rename away and back"])
def test_a_file_that_only_moved_is_no_drift(tmp_path: Path, move: str) -> None:
    world = World(tmp_path, {"etc/a": "1\n"})
    world.good()
    path = world.at("etc/a")
    if move == "cp -a":
        subprocess.run(["cp", "-a", str(path), f"{path}.new"], check=True)
        os.rename(f"{path}.new", path)
    elif move == "touch":
        os.utime(path)
    elif move == "hard link":
        os.link(path, world.at("srv-link"))
    else:
        path.rename(f"{path}.x")
        os.rename(f"{path}.x", path)
    before = snapshot(world.root)
    done = world.tick().ok()
    assert done.out == ""
    assert snapshot(world.root) == before
    world.steady()
    entry = ledger.decode(world.state("ledger").read_text()).entries["etc/a"]
    assert str(path.stat().st_ctime_ns) in entry.seen  # refreshed: read only once


def test_what_is_right_already_is_adopted_and_stays_on_withdrawal(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "same\n", "etc/b": "b\n"}, root={"etc/a": "same\n"})
    inode = world.at("etc/a").stat().st_ino
    world.good()
    assert world.at("etc/a").stat().st_ino == inode
    world.take("etc/a")
    world.good()
    assert world.read("etc/a") == "same\n"


def test_a_whole_root_that_was_restored_from_a_backup_is_no_drift(tmp_path: Path) -> None:
    world = World(tmp_path, {f"etc/d/{n}": f"{n}\n" for n in range(5)})
    world.good()
    subprocess.run(["cp", "-a", str(world.root), str(tmp_path / "copy")], check=True)
    shutil.rmtree(world.root)
    (tmp_path / "copy").rename(world.root)
    before = snapshot(world.root)
    assert world.tick().ok().out == ""
    assert snapshot(world.root) == before
    world.steady()


def test_every_168_ticks_all_are_compared_by_content(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1234\n"})
    world.good()
    path = world.at("etc/a")
    old = path.stat()
    path.write_text("4321\n")
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
    # A ledger that vouches for the edited file: as a store by mmap can bring about.
    text = world.state("ledger").read_text()
    text = text.replace(str(old.st_ctime_ns), str(path.stat().st_ctime_ns))
    world.state("ledger").write_text(text)
    world.tick().ok()
    assert world.read("etc/a") == "4321\n"
    world.state("tick").write_text("167\n")
    world.tick().ok()
    assert world.read("etc/a") == "1234\n"


def test_a_withdrawn_file_that_comes_back_by_a_rollback_is_withdrawn_again(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, {"etc/a": "ours\n", "etc/b": "b\n"})
    world.good()
    subprocess.run(["cp", "-a", str(world.at("etc/a")), str(tmp_path / "snapshot")], check=True)
    world.take("etc/a")
    world.good()
    subprocess.run(["cp", "-a", str(tmp_path / "snapshot"), str(world.at("etc/a"))], check=True)
    assert "came back: /etc/a" in world.tick().out
    assert not world.there("etc/a")
    world.steady()


def test_a_file_that_the_user_makes_where_we_withdrew_one_stays(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "ours\n", "etc/b": "b\n"})
    world.good()
    world.take("etc/a")
    world.good()
    world.at("etc/a").write_text("mine\n")
    world.good()
    assert world.read("etc/a") == "mine\n"


def test_a_withdrawn_file_that_was_edited_here_stays(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "ours\n", "etc/b": "b\n"}, root={"etc/a": "before\n"})
    world.good()
    world.at("etc/a").write_text("edited\n")
    world.take("etc/a")
    assert "left: edited here" in world.tick().ok().out
    assert world.read("etc/a") == "edited\n"
    kept = world.state("undo").glob("*/overlay/pristine/*")
    assert [path.read_text() for path in kept] == ["before\n"]
    world.steady()


@pytest.mark.parametrize("years", [-20, 20])
def test_a_clock_that_jumps_changes_nothing(tmp_path: Path, years: int) -> None:
    world = World(tmp_path, {"etc/a": "1\n", "etc/b##host.pc07": "2\n"})
    world.good()
    jump = f"import time\nreal, rns = time.time, time.time_ns\nby = {years} * 365 * 86400\n"
    jump += "time.time = lambda: real() + by\ntime.time_ns = lambda: rns() + by * 10**9\n"
    env = injected(tmp_path / "fault", jump)
    before = snapshot(world.root)
    world.tick(env=env).ok()
    assert snapshot(world.root) == before
    world.put({"etc/a": "3\n"})
    world.tick(env=env).ok()
    assert world.read("etc/a") == "3\n"
    world.good()
    world.at("etc/a").write_text("drift\n")
    world.good()
    assert world.read("etc/a") == "3\n"


def test_times_in_the_store_may_be_anything(tmp_path: Path) -> None:
    times = {"old": 0.0, "odd": 1.25, "future": 4_000_000_000.0}
    world = World(tmp_path, {f"etc/{name}": File("x\n", mtime=t) for name, t in times.items()})
    world.good()
    for name, when in times.items():
        assert world.at(f"etc/{name}").stat().st_mtime == when


def test_a_ledger_of_another_tree_does_not_speak_of_this_one(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n", "etc/b": "2\n"}, root={"etc/a": "before\n"})
    world.good()
    make_tree(world.root, {"etc/a": "another image\n"})
    shutil.rmtree(world.state(""))  # as an update's keep list has it
    world.good()
    world.take("etc/a")
    world.good()
    assert world.read("etc/a") == "another image\n"
