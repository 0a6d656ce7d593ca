"""The worlds are what they say: real shells, a real daemon, odd names."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from pathlib import Path

import pytest

from tests import leftovers
from tests.worlds import debian
from tests.worlds.busybox import busybox_root
from tests.worlds.store import served
from tests.worlds.toy import Device, Dir, Fifo, File, Hard, Link, make_tree, toy_root


def _chroot(root: Path, command: str) -> str:
    argv = ["chroot", str(root), "/bin/sh", "-c", command]
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    return subprocess.run(argv, env=env, check=True, capture_output=True, text=True).stdout


def test_make_tree(tmp_path: Path) -> None:
    top = make_tree(
        tmp_path / "t",
        {
            "again": Hard("a/plain"),
            "a/plain": "text",
            "a/new\nline": File("x", 0o600, mtime=1_000_000_000),
            b"a/\xff": b"not UTF-8",
            "a/link": Link("/nowhere"),
            "a/pipe": Fifo(0o622),
            "a/sparse": File("head", size=10_000_000),
            "shut": Dir(0o500),
            "shut/inside": "x",
        },
    )
    assert (top / "again").samefile(top / "a/plain")
    assert (top / "a/new\nline").stat().st_mtime == 1_000_000_000
    assert stat.S_IMODE((top / "a/new\nline").stat().st_mode) == 0o600
    assert os.listdir(os.fsencode(top / "a")).count(b"\xff") == 1
    assert os.readlink(top / "a/link") == "/nowhere"
    assert (top / "a/pipe").is_fifo()
    assert stat.S_IMODE((top / "a/pipe").stat().st_mode) == 0o622
    sparse = (top / "a/sparse").stat()
    assert sparse.st_size == 10_000_000 > sparse.st_blocks * 512
    assert stat.S_IMODE((top / "shut").stat().st_mode) == 0o500


@pytest.mark.root
def test_make_tree_as_root(tmp_path: Path) -> None:
    cap = bytes.fromhex("0100000200040000000000000000000000000000")  # cap_net_bind_service=ep
    top = make_tree(
        tmp_path / "t",
        {
            "null": Device(1, 3, stat.S_IFCHR | 0o666),
            "suid": File("x", 0o4755, owner=(5, 6), xattrs={"security.capability": cap}),
        },
    )
    assert stat.S_ISCHR((top / "null").stat().st_mode)
    suid = (top / "suid").stat()
    assert (suid.st_uid, suid.st_gid, stat.S_IMODE(suid.st_mode)) == (5, 6, 0o4755)
    assert os.getxattr(top / "suid", "security.capability") == cap


def test_toy_root(tmp_path: Path) -> None:
    root = toy_root(tmp_path / "toy", {"etc/motd": "Mine.\n"})
    assert (root / "etc/motd").read_text() == "Mine.\n"
    assert "ID=toy" in (root / "etc/os-release").read_text()
    assert (root / "bin/true").exists()


@pytest.mark.root
def test_busybox_root_runs_sh(tmp_path: Path) -> None:
    root = busybox_root(tmp_path / "bb", {"root/hello": File("#!/bin/sh\necho $((6*7))\n", 0o755)})
    assert _chroot(root, "/root/hello; . /etc/os-release; echo $ID; ls /bin/sh") == (
        "42\nbusybox\n/bin/sh\n"
    )
    assert os.readlink(root / "bin") == "usr/bin"


@pytest.mark.real
def test_served_store_answers_stops_and_starts(tmp_path: Path) -> None:
    store = make_tree(tmp_path / "store", {"overlays/common/etc/motd": "served\n"})
    copy = tmp_path / "copy"
    pull = ["rsync", "-a", "--contimeout=5"]
    with served(store) as server:
        source = f"{server.url}/overlays/common/"
        subprocess.run([*pull, source, str(copy)], check=True)
        assert (copy / "etc/motd").read_text() == "served\n"
        push = subprocess.run([*pull, str(copy), f"{server.url}/overlays/"], capture_output=True)
        assert push.returncode != 0, "the modules are read only"

        first = server.pid
        server.stop()
        away = subprocess.run([*pull, source, str(copy)], capture_output=True)
        assert away.returncode == 10
        server.start()
        assert server.pid != first
        subprocess.run([*pull, source, str(copy)], check=True)
        last = server.pid
    assert not Path(f"/proc/{last}").exists()


@pytest.mark.root
def test_a_mount_left_behind_is_seen_and_undone(tmp_path: Path) -> None:
    point = tmp_path / "a b"
    point.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(point)], check=True)
    assert leftovers.unmount_below(tmp_path) == [str(point)]
    assert leftovers.mounts_below(tmp_path) == []


def test_a_process_left_behind_is_seen(tmp_path: Path) -> None:
    sleeper = subprocess.Popen(["sleep", "60"], cwd=tmp_path)
    try:
        while not Path(f"/proc/{sleeper.pid}/cmdline").read_bytes():
            time.sleep(0.01)  # it has been started, and the kernel has not yet noted its words
        assert "sleep" in leftovers.processes_below(tmp_path, patience=0)[0]
    finally:
        sleeper.kill()
        sleeper.wait()
    assert leftovers.processes_below(tmp_path) == []


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("suite", "include", "python"),
    [("bookworm", (), None), ("bullseye", ("python3", "rsync"), "Python 3.9")],
)
def test_debian_root(
    tmp_path: Path, suite: str, include: tuple[str, ...], python: str | None
) -> None:
    try:
        root = debian.debian_root(suite, tmp_path / suite, include)
    except debian.UnavailableError as error:
        pytest.skip(str(error))
    assert f"VERSION_CODENAME={suite}" in (root / "etc/os-release").read_text()
    assert (root / "etc/machine-id").read_bytes() == b""
    assert not (root / "etc/hostname").exists()
    assert _chroot(root, "id -un") == "root\n"
    if python:
        assert _chroot(root, "python3 -V").startswith(python)
        assert _chroot(root, "rsync --version").startswith("rsync")
