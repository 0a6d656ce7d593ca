"""Join with a door of the host's own: its key is pinned, and the line to enrol by is shown."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from allie.machine.transfer.ssh_door import fingerprint
from tests.tick.site import Site, TickPC, run_in
from tests.worlds.busybox import busybox_root
from tests.worlds.debian import UnavailableError, debian_root
from tests.worlds.ssh_door import SshDoor
from tests.worlds.store import served
from tests.worlds.toy import File, make_tree

pytestmark = [pytest.mark.root, pytest.mark.real]
_LINE = r"allie store enrol (\S+) '(ssh-ed25519 \S+)'"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, {"etc/motd": "common\n"})


@pytest.fixture
def door(site: Site) -> Iterator[SshDoor]:
    for name in ("images", "releases"):
        (site.store / name).mkdir(exist_ok=True)
    with SshDoor(site.store) as found:
        yield found


def test_a_pc_joins_and_is_enrolled_by_the_line_that_it_shows(
    tmp_path: Path, site: Site, door: SshDoor
) -> None:
    """It needs no ssh server: the key that it lacks is made."""
    pc = TickPC(busybox_root(tmp_path / "pc", {"etc/hostname": "PC07\n"}))
    joined = pc.run("join", str(site.store), "--own", door.url, "--no-timer").ok().out
    assert f"its key is {fingerprint(door.host_key)}; no other is taken" in joined
    found = re.search(_LINE, joined)
    assert found and found[1] == "pc07"
    assert f"waits to be enrolled ({fingerprint(found[2])})" in joined
    assert pc.read("etc/motd") == "common\n"
    assert pc.read("etc/allie/known_hosts") == f"allie-store {door.host_key}\n"
    pins = pc.path("etc/allie/known_hosts").stat().st_ino
    again = pc.run("join", str(site.store), "--own", door.url, "--no-timer").ok().out
    assert found[0] in again
    assert pc.path("etc/allie/known_hosts").stat().st_ino == pins
    door.enrol(found[1], found[2])
    make_tree(site.store / "private/pc07", {"etc/secret": File("pc07's\n", 0o600)})
    pc.run("run-conf").ok()
    assert pc.read("etc/secret") == "pc07's\n"
    third = pc.run("join", str(site.store), "--no-timer").ok().out
    assert "allie store enrol" not in third
    assert "own = " + door.url in pc.read("etc/allie/allie.conf")


def test_a_door_that_serves_for_both_says_how_before_anything_is_written(
    tmp_path: Path, door: SshDoor
) -> None:
    pc = TickPC(busybox_root(tmp_path / "pc", {"etc/hostname": "pc07\n"}))
    refused = pc.run("join", door.url, "--no-timer")
    assert refused.rc == 2
    found = re.search(_LINE, refused.err)
    assert found, refused.err
    assert not pc.path("etc/allie/allie.conf").exists()
    door.enrol(found[1], found[2])
    pc.run("join", f"{door.url}/", "--no-timer").ok()
    assert pc.read("etc/motd") == "common\n"
    assert f"store = {door.url}\n" in pc.read("etc/allie/allie.conf")
    assert pc.run("status").rc == 0


def test_an_address_that_is_no_door_is_refused(tmp_path: Path, site: Site) -> None:
    pc = TickPC(busybox_root(tmp_path / "pc"))
    for wrong in ("rsync://server", "ssh://root@server", "ssh://server/srv/allie"):
        done = pc.run("join", str(site.store), "--own", wrong, "--no-timer")
        assert done.rc == 2
        assert "without a user and without a path" in done.err
    assert not pc.path("etc/allie/allie.conf").exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_debian_11_has_all_that_it_takes(tmp_path: Path, site: Site, door: SshDoor) -> None:
    """rsync 3.2.3, OpenSSH 8.4, Python 3.9: each says, and takes, other words."""
    try:
        root = debian_root("bullseye", tmp_path / "pc11", ("python3", "rsync", "openssh-client"))
    except UnavailableError as error:
        pytest.skip(str(error))
    make_tree(root, {"etc/hostname": "pc11\n"})
    client = root / "usr/local/bin/allie"
    shutil.copy(site.store / "overlays/kit/usr/local/bin/allie", client)
    with served(site.store) as server:
        command = f"allie join {server.url} --own {door.url} --host pc11 --no-timer"
        joined = run_in(root, command, 200).ok().out
        found = re.search(_LINE, joined)
        assert found, joined
        assert "waits to be enrolled" in joined
        door.enrol("pc11", found[2])
        make_tree(site.store / "private/pc11", {"etc/secret": File("pc11's\n", 0o600)})
        run_in(root, "/root/conf/run-conf", 200).ok()
        assert (root / "etc/secret").read_text() == "pc11's\n"
        assert (site.store / "inbox/pc11/report").exists()
        door.retire("pc11")
        assert "what it brought stays" in run_in(root, "/root/conf/run-conf; allie status", 200).out
        door.stop()
        door.new_host_key()
        door.start()
        run_in(root, "/root/conf/run-conf", 200)
        assert "is another than before" in run_in(root, "allie status", 200).out
        assert (root / "etc/secret").read_text() == "pc11's\n"
