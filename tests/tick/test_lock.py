"""One tick at a time; and where the disk takes no writes, none at all.

docs/internals/rules.md, "One tick at a time".
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from allie.machine.files import lock
from allie.machine.roots import open_system
from tests.tick.site import Site, TickPC, lone_pc, run_in, script
from tests.worlds.busybox import busybox_root
from tests.worlds.waiting import until

pytestmark = [pytest.mark.root]


@pytest.fixture
def pc(tmp_path: Path) -> TickPC:
    return lone_pc(tmp_path / "pc")


@contextmanager
def _tick_that_waits(pc: TickPC) -> Iterator[subprocess.Popen[bytes]]:
    """A tick whose script runs until /tmp/go is there."""
    pc.put({"root/conf/50a": script("touch /tmp/runs; until [ -e /tmp/go ]; do sleep 0.05; done")})
    tick = pc.spawn("run-conf")
    try:
        until(pc.path("/tmp/runs").exists)
        yield tick
    finally:
        pc.put({"tmp/go": ""})
        if tick.poll() is None:
            tick.communicate(timeout=20)
        until(lambda: pc.run("run-conf").rc != 75)


def test_a_second_tick_names_the_first(pc: TickPC) -> None:
    with _tick_that_waits(pc) as tick:
        second = pc.run("run-conf")
        assert second.rc == 75
        assert "run-conf, pid " in second.err
        assert str(tick.pid) in second.err
        assert time.strftime("%H:") in second.err
        status = pc.run("status")
        assert "a tick is running" in status.out
        assert pc.run("status", "--json").json["running"] is True
        assert pc.run("undo").rc == 75
        assert "a tick is running" in pc.run("plan").err
    assert pc.run("status", "--json").json["running"] is False


def test_the_lock_goes_with_a_killed_tick(pc: TickPC) -> None:
    with _tick_that_waits(pc) as tick:
        os.kill(tick.pid, signal.SIGKILL)
        tick.communicate()
        # The script lives on, chrooted, with a process of ours that waits for it.
        done = pc.run("run-conf").ok()
        assert done.rc == 0
        assert pc.scripts()["50a"]["state"] == "waiting"


def test_a_script_may_fetch_again(tmp_path: Path) -> None:
    """`sh /root/conf/00overlay` within a tick works, and locks nothing a second time."""
    site = Site(tmp_path)
    site.join()
    pc = site.pc
    site.overlay({"etc/late": "late\n"})
    held = (
        "import fcntl, os, subprocess, sys; d = os.open(sys.argv[1], os.O_RDONLY);"
        " fcntl.flock(d, fcntl.LOCK_EX); e = os.open(sys.argv[1], os.O_RDONLY);"
        " os.set_inheritable(e, True);"
        " done = subprocess.run(sys.argv[2:], close_fds=False,"
        " env={**os.environ, 'ALLIE_LOCK_FD': str(e), 'ALLIE_TICK': '41'});"
        " sys.exit(done.returncode)"
    )
    argv = pc.argv("00overlay")
    start = argv.index(str(pc.archive))
    command = [*argv[:start], "python3", "-c", held, str(pc.path("/var/lib/allie")), *argv[start:]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done
    assert pc.read("/etc/late") == "late\n"


def test_a_foreign_descriptor_is_no_permission(pc: TickPC) -> None:
    """The variable alone, or another directory's descriptor, does not get past the lock."""
    with _tick_that_waits(pc):
        for number in ("0", "9", "x", "-1"):
            assert pc.run("run-conf", env={"ALLIE_LOCK_FD": number}).rc == 75


def test_views_do_not_lock_out_a_tick(pc: TickPC) -> None:
    """`status` in a loop beside ticks: none of them is refused."""
    pc.put({"root/conf/50a": script("# allie: every tick", "true")})
    state = str(pc.path("/var/lib/allie"))
    pc.tick()
    looking = (
        "import fcntl, os, sys, time\n"
        "while True:\n"
        "    d = os.open(sys.argv[1], os.O_RDONLY)\n"
        "    try:\n"
        "        fcntl.flock(d, fcntl.LOCK_SH | fcntl.LOCK_NB)\n"
        "        time.sleep(0.01)\n"
        "    except OSError: pass\n"
        "    os.close(d)\n"
        "    time.sleep(0.005)\n"
    )
    looker = subprocess.Popen(["python3", "-c", looking, state])
    try:
        assert [pc.run("run-conf").rc for _ in range(8)] == [0] * 8
    finally:
        looker.kill()
        looker.wait()


# --- disks that take no writes -----------------------------------------------------------------


def _mounted(pc: TickPC, mount: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run the client after a mount command that only its own namespace sees."""
    argv = pc.argv(*args)
    position = argv.index("-c") + 1
    argv[position] = argv[position].replace("exec ", f"{mount} && exec ")
    return subprocess.run(argv, capture_output=True, text=True, timeout=60)


def test_a_read_only_root(pc: TickPC) -> None:
    pc.put({"root/conf/50a": script("touch /run/ran; echo ran >/tmp/ran")})
    pc.tick()
    pc.put({"root/conf/51b": script("echo ran")})
    before = _listing(pc.root)
    read_only = f"mount --bind {pc.root} {pc.root} && mount -o remount,bind,ro {pc.root}"
    done = _mounted(pc, read_only, "run-conf")
    assert done.returncode == 2
    assert "nothing was begun" in done.stderr
    assert "Traceback" not in done.stderr
    assert _listing(pc.root) == before
    looked = _mounted(pc, read_only, "status")
    assert "51b" in looked.stdout


def test_the_report_of_a_read_only_root_is_in_run(tmp_path: Path) -> None:
    """With /run writable, as on a base whose disk the kernel has made read-only."""
    pc = lone_pc(tmp_path / "pc")
    pc.tick()
    mount = (
        f"mount --bind {pc.root} {pc.root} && mount -o remount,bind,ro {pc.root} &&"
        f" mount -t tmpfs tmpfs {pc.root}/run"
    )
    client = " ".join(pc.argv()[-3:])
    both = f"{mount} && {{ {client} run-conf; echo $?; {client} status; }} && exec true"
    done = _mounted(pc, both, "unused")
    assert done.stdout.splitlines()[0] == "2", done
    assert "attention" in done.stdout
    assert "cannot be written" in done.stdout


@pytest.mark.parametrize("free", [0, 300_000])
def test_a_full_disk(tmp_path: Path, free: int) -> None:
    """Nothing is begun, no script runs, exit 2; once there is room, the next tick goes on."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(disk)], check=True)
    try:
        site = Site(tmp_path / "s", root=busybox_root(disk / "pc"))
        site.overlay({"root/conf/50a": script("echo x >>/tmp/ran")})
        site.join()
        site.overlay({"etc/new": "new\n", "root/conf/51b": script("echo x >>/tmp/other")})
        filler = disk / "pc/filler"
        with filler.open("wb") as file:
            vfs = os.statvfs(disk)
            os.posix_fallocate(file.fileno(), 0, max(vfs.f_bfree * vfs.f_frsize - free, 4096))
        before = _listing(site.pc.root)
        done = site.pc.run("run-conf")
        assert done.rc == 2
        assert "full" in done.err
        assert _listing(site.pc.root) == before
        filler.unlink()
        states = site.pc.tick()
        assert states["51b"]["state"] == "satisfied"
        assert (site.pc.read("/etc/new"), site.pc.count("/tmp/ran")) == ("new\n", 1)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_fills_up_in_mid_tick(tmp_path: Path) -> None:
    """The script that fills it is judged; the tick ends with a message, not a traceback."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=30m", "tmpfs", str(disk)], check=True)
    try:
        pc = lone_pc(disk / "pc")
        pc.put({"root/conf/50a": script("cat /dev/zero >/filler; echo over; exit 0")})
        pc.put({"root/conf/51b": script("true")})
        done = pc.run("run-conf")
        assert done.rc == 2
        assert "Traceback" not in done.err
        assert "cannot write" in done.err
        pc.path("/filler").unlink()
        pc.path("/root/conf/50a").unlink()
        assert pc.tick()["51b"]["state"] == "satisfied"
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def _listing(root: Path) -> list[str]:
    """Every path with what tells a change, but for the places that a look itself writes to."""
    found = []
    for above, _, names in os.walk(root):
        if above.endswith(("/run/allie", "/run")):
            continue
        for name in names:
            st = os.lstat(f"{above}/{name}")
            found.append(f"{above}/{name} {st.st_ino} {st.st_mtime_ns} {st.st_mode}")
    return sorted(found)


# --- not root ----------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["status", "plan", "log", "run-conf", "undo", "pause", "join"])
def test_a_user_is_told(tmp_path: Path, verb: str) -> None:
    pc = lone_pc(tmp_path / "pc")
    pc.tick()
    for folder in [pc.root, *pc.root.parents]:
        if str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    drop = "setpriv --reuid=1000 --regid=1000 --clear-groups"
    argv = pc.argv(verb, *(["/nowhere"] if verb == "join" else []))
    position = argv.index("-c") + 1
    argv[position] = argv[position].replace("exec ", f"exec {drop} ")
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode in (2, 64), done
    assert "root" in done.stderr
    assert "Traceback" not in done.stderr
    assert json.dumps(done.stdout) == '""'


def test_a_user_can_ask_for_help(tmp_path: Path) -> None:
    pc = lone_pc(tmp_path / "pc")
    assert "status" in pc.run("--help").ok().out
    assert run_in(pc.root, "id -u").out == "0\n"


def test_a_child_that_is_left_behind_holds_no_lock(tmp_path: Path) -> None:
    """As one that hangs in the kernel, in a dead disk: a tick's end is the end of its lock."""
    (tmp_path / "var/lib/allie").mkdir(parents=True)
    here = open_system.open_system(str(tmp_path))
    with lock.held(here, "run-conf"):
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
    try:
        assert not lock.is_running(here)
        with lock.held(here, "run-conf"):
            assert lock.is_running(here)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
