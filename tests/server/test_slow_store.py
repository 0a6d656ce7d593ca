"""A store, or whoever is between, that sends a byte now and then: it holds no tick."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from allie.server import store as stores
from tests.worlds.one_pc import World, snapshot
from tests.worlds.pc import PC
from tests.worlds.store import served
from tests.worlds.trickle import Trickle
from tests.worlds.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.root, pytest.mark.slow]
MANY = {f"etc/f{each}": f"{each}\n" for each in range(300)}


def naming(url: str) -> list[str]:
    """The processes that have an address on their command line."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            argv = Path(f"/proc/{name}/cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if url in argv:
            found.append(argv.replace("\0", " "))
    return found


@pytest.mark.parametrize(("free", "rate"), [(0, 1), (200, 40), (3000, 1)])
def test_a_store_that_drips_is_away(tmp_path: Path, free: int, rate: int) -> None:
    """From the greeting on, in the question, in the fetch."""
    world = World(tmp_path, {"etc/motd": "one\n"})
    with served(world.store) as server, Trickle(server.port, free=free, rate=rate) as slow:
        world.follow(store=server.url)
        world.good()
        world.put({"etc/motd": "two\n", **MANY})
        world.follow(store=slow.url, stall=1)
        before = snapshot(world.root)
        began = time.monotonic()
        done = world.tick()
        assert time.monotonic() - began < 40
        assert done.rc == 0, done.out
        assert "too slowly" in done.out or "does not answer" in done.out, done.out
        assert snapshot(world.root) == before
        assert naming(slow.url) == []
        world.follow(store=server.url)
        world.good()
        assert world.read("etc/motd") == "two\n"


def killed_while_it_drips(slow: Trickle, pc: PC, *words: str) -> None:
    """Start a verb, kill it by -9 once the store drips, and see that nothing listens on."""
    run = pc.spawn(*words)
    assert slow.dripping.wait(20)
    assert naming(slow.url)
    run.kill()
    run.communicate()
    until(lambda: not naming(slow.url), "no rsync is left that names it")


@pytest.mark.parametrize("free", [900, 200_000])
def test_of_a_killed_tick_no_rsync_is_left(tmp_path: Path, free: int) -> None:
    """While it asks, and while it fetches."""
    world = World(tmp_path, MANY)
    stores.init(str(world.store))
    with served(world.store) as server, Trickle(server.port, free=free) as slow:
        joining = ("join", server.url, "--system", "toy", "--overlays", "kit,common", "--no-timer")
        world.pc.run(*joining).ok()
        world.put({f"etc/g{each}": os.urandom(3000) for each in range(300)})
        conf = world.at("etc/allie/allie.conf")
        conf.write_text(conf.read_text().replace(server.url, slow.url))
        killed_while_it_drips(slow, world.pc, "run-conf")


@pytest.mark.parametrize("verb", ["join", "rsync-image"])
def test_of_what_was_started_by_hand_no_rsync_is_left_either(tmp_path: Path, verb: str) -> None:
    world = World(tmp_path, MANY)
    stores.init(str(world.store))
    (tmp_path / "there").mkdir()
    with served(world.store) as server, Trickle(server.port, free=100) as slow:
        words = {
            "join": ("join", slow.url, "--no-timer", "--system", "toy"),
            "rsync-image": (
                *("rsync-image", "overlay", "common", str(tmp_path / "there")),
                *("--from", slow.url),
            ),
        }
        killed_while_it_drips(slow, world.pc, *words[verb])
