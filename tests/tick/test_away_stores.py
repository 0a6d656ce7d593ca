"""Of several stores one that did not answer is asked last for an hour, by quick ticks, too.

docs/internals/rules.md, "A second server may lag behind" and "A server that is away costs seconds".
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from allie.client.mirror.stores import in_own_order
from allie.client.state import away_stores
from allie.core.conf import settings
from allie.machine.roots import open_system
from tests.tick.test_quick import Quick
from tests.worlds.store import Served, served

pytestmark = [pytest.mark.real, pytest.mark.root]


class Site(NamedTuple):
    """A PC at rest with several servers, in its own order."""

    world: Quick
    servers: list[Served]

    def asked(self) -> list[int]:
        """How many connections each of them had."""
        return [each.log.count("connect from") for each in self.servers]

    def asked_by(self, what: Any) -> list[int]:
        """Those that something made."""
        before = self.asked()
        what()
        return [now - then for now, then in zip(self.asked(), before)]

    def an_hour_later(self) -> None:
        path = self.world.state("away")
        value = json.loads(path.read_text())
        later = {name: [since - 3600, asked - 3600] for name, (since, asked) in value.items()}
        path.write_text(json.dumps(later))

    def contact(self) -> Any:
        return json.loads(self.world.state("contact").read_text())

    def status(self) -> str:
        return self.world.pc.run("status").out

    def edit(self, name: str, text: str, *places: int) -> None:
        """In the store of some of the servers."""
        for place in places:
            path = self.servers[place].store / "overlays/common" / name
            path.write_text(text)


@contextmanager
def several(tmp_path: Path, count: int) -> Iterator[Site]:
    world = Quick(tmp_path)
    copies = [tmp_path / f"store{number}" for number in range(count)]
    for copy in copies:
        shutil.copytree(world.store, copy, symlinks=True)
    servers = [Served(copy) for copy in copies]
    try:
        for each in servers:
            each.start()
        world.follow("kit, common", store=", ".join(each.url for each in servers))
        known = settings.parse(world.read("etc/allie/allie.conf"), "toy")
        order = in_own_order(known)
        servers.sort(key=lambda each: order.index(each.url))
        world.tick().ok()
        world.settle()
        yield Site(world, servers)
    finally:
        for each in servers:
            each.__exit__(None, None, None)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with several(tmp_path, 2) as made:
        yield made


def test_the_next_one_serves_quick_ticks_meanwhile(site: Site) -> None:
    world, (first, _) = site
    assert site.asked_by(world.run) == [1, 0]
    first.stop()
    assert not world.is_quick()
    assert f"  away       {first.url}, for " in site.status()
    world.settle()
    since = site.contact()["away"][first.url]
    assert abs(time.time() - since) < 60
    first.start()
    assert site.asked_by(lambda: world.is_quick() or pytest.fail("whole")) == [0, 1]
    site.an_hour_later()
    assert not world.is_quick()
    world.settle()
    assert site.asked_by(world.run) == [1, 0]
    assert not world.state("away").exists()
    assert "away  " not in site.status()


def test_one_that_stays_away_is_asked_once_an_hour(site: Site) -> None:
    world, (first, _) = site
    first.stop()
    world.run()
    since = json.loads(world.state("away").read_text())[first.url][0]
    site.an_hour_later()
    assert not world.is_quick()
    world.settle()
    again = json.loads(world.state("away").read_text())[first.url]
    assert abs(since - 3600 - again[0]) < 0.01, "it is away since then"
    assert time.time() - again[1] < 60


def test_whoever_asks_by_hand_asks_it_again(site: Site) -> None:
    world, (first, _) = site
    first.stop()
    world.run()
    first.start()
    assert site.asked_by(lambda: world.pc.run("run-conf", "00overlay").ok())[0] >= 1
    assert not world.state("away").exists()


def test_where_all_others_fail_it_is_asked(site: Site) -> None:
    world, (first, second) = site
    first.stop()
    world.run()
    first.start()
    second.stop()
    world.run()
    assert site.contact()["trouble"] == ""
    assert list(site.contact()["away"]) == [second.url]


def test_where_nobody_answers_nothing_is_lost(site: Site) -> None:
    world, servers = site
    for each in servers:
        each.stop()
    world.run().ok()
    assert "does not answer" in site.contact()["trouble"]
    assert sorted(site.contact()["away"]) == sorted(each.url for each in servers)
    servers[1].start()
    world.run().ok()
    assert site.contact()["trouble"] == ""


def test_a_stand_in_does_not_say_that_the_usual_one_answered(site: Site) -> None:
    """Else it would pass for one that lags behind for ever, and never be believed."""
    world, (first, _) = site
    before = site.contact()["answered"]
    first.stop()
    world.run()
    world.settle()
    assert world.is_quick()
    world.pc.run("run-conf", "00overlay").ok()
    contact = site.contact()
    assert contact["server"] == first.url
    assert contact["answered"] - before < 2
    assert contact["good"] > contact["answered"]


def test_one_that_lags_is_not_asked_first_at_every_tick(tmp_path: Path) -> None:
    with several(tmp_path, 3) as site:
        world, (first, second, third) = site
        site.edit("etc/new", "new\n", 0, 2)
        world.run().ok()
        first.stop()
        world.run().ok()
        assert world.read("etc/new") == "new\n"
        assert sorted(site.contact()["away"]) == sorted([first.url, second.url])
        world.settle()
        assert site.asked_by(world.run) == [0, 0, 1]
        assert third.url in site.status()


def test_an_older_file_of_a_stand_in_is_not_taken(site: Site) -> None:
    """A server that lags behind does not take an edit back; one that is ahead brings one."""
    world, (first, _) = site
    site.edit("etc/a", "newer\n", 0)
    world.run().ok()
    first.stop()
    world.run().ok()
    assert world.read("etc/a") == "newer\n"
    assert first.url in site.contact()["trouble"]
    assert len(site.contact()["away"]) == 2
    time.sleep(0.02)
    site.edit("etc/a", "the newest\n", 1)
    world.run().ok()
    assert world.read("etc/a") == "the newest\n"


def test_one_that_nobody_will_ask_is_forgotten(site: Site) -> None:
    """Else it would be away for ever, and there would be no quick tick any more."""
    world, (first, second) = site
    for each in (first, second):
        each.stop()
    world.run()
    first.start()
    site.an_hour_later()
    world.run().ok()
    assert site.contact()["away"] == {} or list(site.contact()["away"]) == [second.url]
    world.settle()
    site.world.run().ok()
    assert not world.state("away").exists()


def test_one_that_is_named_no_more_is_not_away(site: Site) -> None:
    world, (first, second) = site
    first.stop()
    world.run()
    world.follow("kit, common", store=second.url)
    world.run().ok()
    world.settle()
    assert site.contact()["away"] == {}
    site.an_hour_later()
    world.run().ok()
    world.settle()


def test_a_damaged_note_is_none(site: Site) -> None:
    world, (first, second) = site
    here, order = open_system.open_system(str(world.root)), [first.url, second.url]
    for text in ("{", "[]", '{"x": 1}', '{"x": ["a", "b"]}', "\0"):
        world.state("away").write_text(text)
        assert away_stores.read(here, order) == {}
        assert away_stores.next_due(here, order, order[1]) == float("inf")
    first.stop()
    world.run().ok()
    assert list(away_stores.read(here, order)) == [first.url]


def test_with_one_store_nothing_is_noted(tmp_path: Path) -> None:
    world = Quick(tmp_path)
    with served(world.store) as server:
        world.follow("kit, common", store=server.url)
        world.run().ok()
        server.stop()
        world.run().ok()
        assert not os.path.lexists(world.state("away"))


def test_one_that_never_says_a_word_costs_one_tick_an_hour(tmp_path: Path) -> None:
    world = Quick(tmp_path)
    with served(world.store) as server, first_of_two(world, server.url) as silent:
        world.follow("kit, common", store=f"{silent}, {server.url}", stall=1)
        world.run().ok()
        assert list(json.loads(world.state("away").read_text())) == [silent]
        world.settle()
        began = time.monotonic()
        assert world.is_quick()
        assert time.monotonic() - began < 1


@contextmanager
def first_of_two(world: Quick, other: str) -> Iterator[str]:
    """The address of a server that takes connections and is silent, and that this PC asks first."""
    known = settings.parse(world.read("etc/allie/allie.conf"), "toy")
    with ExitStack() as stack:
        while True:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            url = f"rsync://127.0.0.1:{listener.getsockname()[1]}"
            if in_own_order(known._replace(stores=(other, url)))[0] == url:
                yield url
                return
