"""Siblings are ticked by the base, and keep their troubles to themselves.

docs/internals/rules.md, "A script ends with its process" and "A root says itself which system it
is".
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import leftovers
from tests.systems.room import Room, arrives, entry, in_system, kill, processes_of, section
from tests.tick.site import TickPC, archive, script
from tests.worlds.toy import make_tree
from tests.worlds.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.root]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with Room(tmp_path) as made:
        for name in ("el7", "el8"):
            made.image(name)
        overlay = "kit, common, only8"
        made.declare(section("el7"), section("el8", overlays=overlay))
        made.overlay({"etc/motd": "common\n"})
        made.overlay({"etc/only": "el8\n", "etc/motd##image.el8": "of el8\n"}, "only8")
        yield made


@pytest.fixture
def pc(room: Room) -> TickPC:
    made = room.pc("pc07")
    for name in ("el7", "el8"):
        arrives(made, name)
    until(lambda: not processes_of(made.root), "the fetches have ended")
    return made


def test_each_follows_its_own_overlays_and_is_put_right(pc: TickPC) -> None:
    assert pc.read("systems/el8/etc/motd") == "of el8\n"
    assert pc.read("systems/el7/etc/motd") == "common\n"
    assert not pc.path("systems/el7/etc/only").exists()
    make_tree(pc.root / "systems/el8", {"etc/motd": "edited\n"})
    make_tree(pc.root / "systems/el7", {"etc/motd": "edited\n"})
    pc.tick()
    assert pc.read("systems/el8/etc/motd") == "of el8\n"
    assert pc.read("systems/el7/etc/motd") == "common\n"


def test_one_that_fails_touches_no_other(pc: TickPC) -> None:
    make_tree(pc.root / "systems/el7", {"root/conf/50bad": script("echo my trouble; exit 3")})
    make_tree(pc.root / "systems/el8", {"root/conf/50good": script("true")})
    scripts = pc.tick(rc=0)
    assert scripts["98systems"]["state"] == "satisfied", "it is not the base's failure"
    assert "el7: ticked; something needs attention: allie --system el7 status" in pc.log(
        "98systems"
    )
    done = in_system(pc, "el7", "status")
    assert done.rc == 1
    assert "my trouble" in done.out
    assert in_system(pc, "el8", "status").rc == 0


def test_one_whose_settings_are_broken_touches_no_other(pc: TickPC) -> None:
    (pc.root / "systems/el7/var/lib/allie/mirror/current").unlink()
    make_tree(pc.root / "systems/el7", {"etc/allie/allie.conf": "[nonsense"})
    pc.path("systems/el8/etc/motd").unlink()
    pc.tick()
    assert "attention: allie --system el7 status" in pc.log("98systems")
    assert pc.read("systems/el8/etc/motd") == "of el8\n"


def test_one_that_cannot_even_begin_is_the_bases_to_report(pc: TickPC) -> None:
    state = pc.path("systems/el7/var/lib/allie")
    state.rename(state.with_name("elsewhere"))
    state.write_text("in the way\n")
    pc.path("systems/el8/etc/motd").unlink()
    pc.tick(rc=1)
    assert "el7: cannot be ticked: " in pc.log("98systems")
    assert pc.read("systems/el8/etc/motd") == "of el8\n"


def test_an_image_that_the_store_has_not_costs_no_tick(room: Room, pc: TickPC) -> None:
    """A slip in allie.conf, say: it is said at each tick, and what the overlays bring comes."""
    room.declare(section("el7", image="el77"), section("el8", overlays="kit, common, only8"))
    for words in ("one\n", "two\n"):
        room.overlay({"etc/motd": words})
        pc.tick(rc=None)
        until(lambda: not processes_of(pc.root), "the try has ended")
        assert pc.read("systems/el7/etc/motd") == words
    assert "el7: ticked; update to el77 begun; last time: " in pc.log("98systems")
    assert "el77" in entry(pc, "el7")["words"]


@pytest.mark.slow
def test_one_that_hangs_delays_nobody(pc: TickPC) -> None:
    hang = script("echo begun >>/begun; sleep 1000", mode=0o755)
    make_tree(pc.root / "systems/el7", {"root/conf/50hang": hang})
    pc.path("systems/el8/etc/motd").unlink()
    began = time.monotonic()
    pc.tick(rc=0)
    assert time.monotonic() - began < 25
    assert pc.read("systems/el8/etc/motd") == "of el8\n"
    assert "el7: its tick goes on" in pc.log("98systems")
    began = time.monotonic()
    pc.tick(rc=0)
    assert time.monotonic() - began < 8, "the next one does not wait for it at all"
    assert "el7: its last tick is still at work" in pc.log("98systems")
    assert pc.read("systems/el7/begun") == "begun\n", "and it was not started again"
    done = in_system(pc, "el7", "run-conf")
    assert done.rc == 75, "it holds its own lock"
    kill(processes_of(pc.root))
    until(lambda: not processes_of(pc.root), "it has ended")
    pc.path("systems/el7/root/conf/50hang").unlink()
    pc.tick(rc=0)


def test_in_a_sibling_nothing_is_looked_after(room: Room, pc: TickPC) -> None:
    """Neither by --system, nor by --root, nor by a stub that somebody changed."""
    room.declare(
        section("el7"), section("el8", overlays="kit, common, only8"), section("el9", image="el7")
    )
    assert in_system(pc, "el7", "run-conf").rc == 0
    assert pc.run("--root", pc.root / "systems/el7", "run-conf").rc == 0
    stub = pc.path("systems/el7/root/conf/98systems")
    stub.write_bytes(stub.read_bytes() + b"# changed\n")
    in_system(pc, "el7", "run-conf", "98systems")
    assert not processes_of(pc.root)
    assert not pc.path("systems/el7/systems").exists()
    assert not pc.path("systems/el9").exists()


def test_every_verb_works_on_a_named_system(pc: TickPC) -> None:
    make_tree(pc.root / "systems/el8", {"etc/only": "edited\n"})
    assert "etc/only" in in_system(pc, "el8", "plan").ok().out
    assert "only8/etc/only" in in_system(pc, "el8", "why", "/etc/only").ok().out
    in_system(pc, "el8", "pause", "--for", "1h", "a look").ok()
    pc.tick()
    assert pc.read("systems/el8/etc/only") == "edited\n", "paused, it only reports"
    assert pc.run("status", "--system", "el8").ok().out.count("a look") == 1
    in_system(pc, "el8", "resume").ok()
    pc.tick()
    assert pc.read("systems/el8/etc/only") == "el8\n"
    in_system(pc, "el8", "undo").ok()
    assert pc.read("systems/el8/etc/only") == "edited\n"
    assert in_system(pc, "el8", "log").ok()
    assert in_system(pc, "nothing", "status").rc == 64
    assert in_system(pc, "pc", "status").rc == 64
    assert pc.read("etc/motd") == "common\n"


def test_a_quiet_tick_is_quiet_and_leaves_nothing(pc: TickPC) -> None:
    pc.tick()
    before = leftovers.mounts_but_of(pc.root)
    history = pc.read("var/lib/allie/history")
    done = pc.run("run-conf")
    assert (done.rc, done.out, done.err) == (0, "", "")
    assert pc.read("var/lib/allie/history") == history
    assert not processes_of(pc.root)
    assert leftovers.mounts_but_of(pc.root) == before
    assert sorted(os.listdir(pc.root / "systems")) == ["el7", "el8"]


def test_a_quiet_tick_of_a_sibling_is_a_quick_one(pc: TickPC) -> None:
    counted = "systems/el7/var/lib/allie/tick"
    for _ in range(3):
        pc.tick()
        until(lambda: not processes_of(pc.root), "its tick has ended")
    before = pc.read(counted)
    pc.tick()
    until(lambda: not processes_of(pc.root), "its tick has ended")
    assert pc.read(counted) == before
    make_tree(pc.root / "systems/el7", {"etc/motd": "edited\n"})
    pc.tick()
    assert pc.read("systems/el7/etc/motd") == "common\n"


def test_systemd_is_given_units_of_their_own(tmp_path: Path) -> None:
    """Where systemd runs: the program is a stand-in that notes how it was called."""
    calls = tmp_path / "calls"
    fake = tmp_path / "bin/systemd-run"
    make_tree(tmp_path, {"bin/systemd-run": script(f'echo "$@" >>{calls}')})
    code = (
        "import os, sys; os.environ['ALLIE_PATH'] = sys.argv[2] + ':' + os.environ['PATH'];"
        "sys.path.insert(0, sys.argv[1]);"
        "from allie.client.systems import bring_and_tick;"
        "from allie.machine.roots import open_system;"
        "real = os.path.isdir;"
        "os.path.isdir = lambda path: path == '/run/systemd/system' or real(path);"
        "here = open_system.open_system('/');"
        "bring_and_tick._launch(here, 'allie-fetch-el7', ['system', 'add', 'el7'], None, idle=True)"
    )
    argv = ["python3", "-c", code, str(archive()), str(fake.parent)]
    assert os.spawnvp(os.P_WAIT, "python3", argv) == 0
    said = calls.read_text()
    assert "--unit=allie-fetch-el7 --collect" in said
    assert "-p Nice=19 -p IOSchedulingClass=idle" in said
    assert said.endswith("/usr/local/bin/allie system add el7\n")
