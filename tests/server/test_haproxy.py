"""HAProxy before three servers of a store, with the configuration that `--print haproxy` prints."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from allie.server import store as stores
from tests.worlds import haproxy
from tests.worlds.haproxy import Proxy
from tests.worlds.one_pc import World
from tests.worlds.store import Served, ServedByAllie, free_port
from tests.worlds.toy import File, make_tree
from tests.worlds.waiting import until

pytestmark = [
    pytest.mark.real,
    pytest.mark.root,
    pytest.mark.skipif(not haproxy.there(), reason="HAProxy is not installed"),
]


class Site(NamedTuple):
    servers: list[Served]
    proxy: Proxy
    top: Path

    def pull(self, number: int = 0, *options: str, path: str = "overlays/kit/") -> int:
        argv = ["rsync", "-a", *options, f"{self.proxy.url}/{path}", f"{self.top}/pulled{number}/"]
        return subprocess.run(argv, capture_output=True, check=False).returncode

    def pull_many(self, count: int) -> list[int]:
        """Two at a time; the exit statuses."""
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(self.pull, range(count)))

    def asked(self) -> list[int]:
        return [each.log.count("connect from") for each in self.servers]

    def become(self, number: int, state: str) -> None:
        until(lambda: self.proxy.states()[number].startswith(state), f"{number} is {state}")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    made = tmp_path / "store0"
    stores.init(str(made))
    make_tree(made / "overlays/common", {"etc/motd": "hello\n"})
    make_tree(made / "images/toy1", {f"usr/{n}": File(os.urandom(1 << 20)) for n in range(6)})
    return made


@pytest.fixture
def site(store: Path, tmp_path: Path) -> Iterator[Site]:
    copies = [store, tmp_path / "store1", tmp_path / "store2"]
    for copy in copies[1:]:
        shutil.copytree(store, copy, symlinks=True)
    servers = [Served(copy) for copy in copies]
    try:
        for each in servers:
            each.start()
        where = [("127.0.0.1", each.port) for each in servers]
        with Proxy(tmp_path, store, "127.0.0.1", free_port(), where) as proxy:
            yield Site(servers, proxy, tmp_path)
    finally:
        for each in servers:
            each.__exit__(None, None, None)


def test_one_is_killed_and_comes_back(site: Site) -> None:
    """No pull fails, from the moment on at which it dies."""
    before = site.asked()
    assert not any(site.pull_many(30))
    assert all(6 <= now - then <= 14 for now, then in zip(site.asked(), before))
    site.servers[1].stop()
    assert not any(site.pull_many(30))
    site.become(1, "DOWN")
    site.servers[1].start()
    site.become(1, "UP")
    before = site.asked()
    assert not any(site.pull_many(30))
    assert site.asked()[1] - before[1] >= 6


def test_one_that_drains_ends_what_it_is_at(site: Site) -> None:
    """And is given nothing new."""
    argv = ["rsync", "-a", "--bwlimit=2000", f"{site.proxy.url}/images/toy1/", f"{site.top}/slow/"]
    before = site.asked()
    with subprocess.Popen(argv) as slow:
        until(lambda: site.asked() != before, "one is asked")
        (at,) = [n for n, (now, then) in enumerate(zip(site.asked(), before)) if now > then]
        site.proxy.set(at, "drain")
        asked = site.asked()[at]
        assert not any(site.pull_many(12))
        assert site.asked()[at] == asked
        assert slow.poll() is None, "it was too quick for this test"
        assert slow.wait(60) == 0
    assert len(list((site.top / "slow/usr").iterdir())) == 6


def test_checks_leave_no_log(site: Site) -> None:
    site.become(2, "UP")
    time.sleep(1)  # what asked whether all is up has been logged by then
    before = [each.log for each in site.servers]
    time.sleep(1.5)  # seven of each
    assert [each.log for each in site.servers] == before


def test_who_is_not_admitted_is_turned_away_here(store: Path, tmp_path: Path) -> None:
    """To the servers, all connections come from HAProxy: this one greets whoever it lets in."""
    with Served(store) as server:
        (store / "store.conf").write_text("[serve]\nhosts allow = 192.0.2.0/24\n")
        proxy = Proxy(tmp_path, store, "127.0.0.1", free_port(), [("127.0.0.1", server.port)])
        try:
            with pytest.raises(RuntimeError, match="no server"):
                proxy.start(patience=2)
        finally:
            proxy.stop()


def test_nobody_says_where_he_comes_from(store: Path) -> None:
    """The proxy protocol is off: a caller could forge his address, and so pass `hosts allow`."""
    (store / "store.conf").write_text("[serve]\nhosts allow = 192.0.2.7\n")
    with ServedByAllie(store) as server, socket.create_connection((server.host, server.port)) as it:
        it.settimeout(20)
        it.sendall(b"PROXY TCP4 192.0.2.7 127.0.0.1 1024 873\r\n@RSYNCD: 31.0\noverlays\n")
        said = b""
        with suppress(ConnectionResetError):
            while piece := it.recv(4096):
                said += piece
    assert said.startswith(b"@RSYNCD: ") and b"@RSYNCD: OK" not in said


def test_pcs_tick_through_it(site: Site) -> None:
    world = World(site.top / "pcs", {"etc/motd": "hello\n"})
    world.follow(store=site.proxy.url)
    world.good()
    site.servers[0].stop()
    for _ in range(4):
        world.tick().ok()
    assert world.read("etc/motd") == "hello\n"
