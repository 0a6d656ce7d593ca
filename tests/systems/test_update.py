"""An update is prepared beside the system and switched to at once; and back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from allie.client.situation import other_systems, settings_in_force
from allie.client.systems import update_rollback
from allie.client.systems.new_system import Job
from allie.client.tick import kit
from allie.core.change.report import Report
from allie.core.conf.settings import Declared
from allie.core.errors import StateError
from allie.core.script import Verdict
from allie.machine.files import atomic
from allie.machine.roots import open_system
from tests.systems.room import (
    Room,
    arrives,
    entry,
    in_system,
    kill,
    processes_of,
    section,
    settles,
)
from tests.tick.site import TickPC, script
from tests.worlds.toy import Dir, Tree, make_tree
from tests.worlds.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.root]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with Room(tmp_path) as made:
        made.heavy_image("el7", 3)
        made.declare(section("el7"))
        made.overlay({"etc/motd": "common\n", "root/conf/50once": script("echo x >>/ran")})
        yield made


def _release(room: Room, words: str, image: str = "el7") -> None:
    make_tree(room.store / "images" / image, {"etc/release": words, "usr/share/new": words})


def test_a_slip_in_the_stores_settings_stops_no_update(room: Room, pc: TickPC) -> None:
    """A tree keeps no allie.conf that an overlay brought; it begins with this PC's."""
    _release(room, "two\n")
    room.overlay({"etc/allie/allie.conf": "no settings\n"})
    pc.run("system", "update", "el7").ok()
    root = pc.root / "systems/el7"
    assert (root / "etc/release").read_text() == "two\n"
    assert (root / "etc/motd").read_text() == "common\n"
    assert "[system el7]" in (root / "etc/allie/allie.conf").read_text()
    said = in_system(pc, "el7", "status")
    assert "allie.conf cannot be used" in said.out, said


def test_a_tree_whose_overlays_were_not_laid_is_never_switched_to(
    room: Room, pc: TickPC, monkeypatch: pytest.MonkeyPatch
) -> None:
    _release(room, "two\n")
    here = open_system.open_system(str(pc.root))
    settings = settings_in_force.settings_of(here)
    declared = other_systems.find(settings, "el7")
    failed = Verdict("00overlay", "failing", "exit 2", 0.0, 2, 0.1, "it went wrong")
    report = Report(1, "el7", "pc07", "0", 0.0, 0.0, scripts=(failed,))
    monkeypatch.setattr(kit, "first_tick_of_another", lambda _: report)
    with pytest.raises(StateError, match="laid no overlays: it went wrong"):
        update_rollback.update(Job(here, settings, declared))
    root = pc.root / "systems/el7"
    assert (root / "etc/release").read_text() == "one\n"
    assert "it went wrong" in entry(pc, "el7")["words"]
    pc.run("system", "update", "el7").ok()
    assert (root / "etc/release").read_text() == "two\n"


def test_an_update_costs_the_difference_and_keeps_what_is_the_pcs(room: Room, pc: TickPC) -> None:
    root = pc.root / "systems/el7"
    own: Tree = {
        "etc/fstab": "LABEL=mine / ext4\n",
        "etc/hostname": "renamed\n",
        "etc/machine-id": "f" * 32 + "\n",
        "home/ann/thesis": "chapter 1\n",
        "etc/NetworkManager/system-connections/lab": "secret\n",
    }
    make_tree(root, own)
    make_tree(root, {"usr/bin/tool": "broken here\n", "usr/local/stray": "made here\n"})
    _release(room, "two\n")
    sent = room.sent
    pc.run("system", "update", "el7").ok()
    until(lambda: room.sent > sent, "the server logs")
    assert room.sent - sent < 200_000, "of five megabytes"
    assert (root / "etc/release").read_text() == "two\n"
    assert (root / "usr/share/new").read_text() == "two\n"
    assert {name: _content(str(root), str(name)) for name in own} == own
    assert "tool one" in (root / "usr/bin/tool").read_text(), "the image's again"
    assert not (root / "usr/local/stray").exists()
    assert (root / "etc/motd").read_text() == "common\n", "its overlays were laid again"
    assert (root / "ran").read_text() == "x\n", "and its scripts ran in the new tree"
    assert in_system(pc, "el7", "status", "--json").json["tick"] == 1, "its books began again"
    assert entry(pc, "el7")["previous"] == "el7"
    pc.tick()


def test_what_the_overlays_placed_is_not_taken_for_the_images_own(room: Room, pc: TickPC) -> None:
    """Another tree, another pristine: what is withdrawn later makes way for the new image's."""
    room.image("el8", {"etc/motd": "of el8\n"})
    room.declare(section("el7", image="el8"))
    pc.tick(rc=None)
    settles(pc, "el7", "el8")
    (room.store / "overlays/common/etc/motd").unlink()

    def gave_way() -> bool:  # el7's tick is not waited for, and left out while its update goes on
        pc.tick(rc=None)
        return (pc.root / "systems/el7/etc/motd").read_text() == "of el8\n"

    until(gave_way, "what was withdrawn made way")


def test_the_next_image_may_have_a_link_where_people_have_files_and_the_other_way(
    room: Room, pc: TickPC
) -> None:
    """As Debian has /home, and what is of ostree a link to /var/home."""
    make_tree(pc.root / "systems/el7", {"home/ann/thesis": "hers\n"})
    for name, at in (("el8", "var/home"), ("el9", "var/home"), ("debian", "")):
        image = room.image(name, {"var/home": Dir(), "etc/release": f"{name}\n"})
        if at:
            (image / "home").rmdir()
            (image / "home").symlink_to(at)
        room.declare(section("el7", image=name))
        pc.tick(rc=None)
        settles(pc, "el7", name)
        root = pc.root / "systems/el7"
        assert (root / (at or "home") / "ann/thesis").read_text() == "hers\n"
        assert (root / "home").is_symlink() == bool(at)


def test_users_in_the_old_tree_go_on_and_rollback_is_at_once(room: Room, pc: TickPC) -> None:
    root = pc.root / "systems/el7"
    ask = "while read x; do cat /etc/release; done"
    with subprocess.Popen(
        ["chroot", str(root), "/bin/sh", "-c", ask],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as user:
        assert user.stdin
        assert user.stdout

        def sees() -> str:
            assert user.stdin
            assert user.stdout
            print(file=user.stdin, flush=True)
            return user.stdout.readline()

        assert sees() == "one\n"
        _release(room, "two\n")
        pc.run("system", "update", "el7").ok()
        assert (root / "etc/release").read_text() == "two\n"
        assert sees() == "one\n", "undisturbed"
        _release(room, "three\n")
        pc.run("system", "update", "el7").ok()
        assert (root / "etc/release").read_text() == "three\n", "no update waits for a user"
        assert sees() == "one\n"
        pc.tick()
        assert sorted(os.listdir(pc.root / "systems")) == [".el7.old-1", ".el7.other", "el7"]
        user.stdin.close()
    pc.tick()  # now that nobody is inside
    assert sorted(os.listdir(pc.root / "systems")) == [".el7.other", "el7"]
    pc.run("system", "rollback", "el7").ok()
    assert (root / "etc/release").read_text() == "two\n"
    pc.tick()
    pc.run("system", "rollback", "el7").ok()
    assert (root / "etc/release").read_text() == "three\n", "and forth"
    pc.tick()
    assert sorted(os.listdir(pc.root / "systems")) == [".el7.other", "el7"]


def test_another_image_in_the_settings_arrives_by_itself(room: Room, pc: TickPC) -> None:
    room.image("el8", {"etc/release": "eight\n"})
    room.declare(section("el7", image="el8"))
    pc.tick(rc=None)
    arrives(pc, "el7", "el8")
    until(lambda: not processes_of(pc.root), "it has ended")
    assert (pc.root / "systems/el7/etc/release").read_text() == "eight\n"
    pc.run("system", "rollback", "el7").ok()
    pc.tick()
    assert not processes_of(pc.root), "what was rolled back from does not come again"
    assert entry(pc, "el7")["image"] == "el7"
    pc.run("system", "update", "el7").ok()  # but to the one who asks for it
    assert entry(pc, "el7")["image"] == "el8"


def test_an_update_that_cannot_be_stops_no_tick(room: Room, pc: TickPC) -> None:
    """By a slip in allie.conf, and by a tree that nobody can move."""
    at = pc.root / "systems"
    room.image("el8", {"etc/release": "eight\n"})
    try:
        for image, motd in (("nosuch", "one\n"), ("el8", "two\n")):
            room.declare(section("el7", image=image))
            pc.tick(rc=None)  # this one begins the update
            until(lambda: not processes_of(pc.root), "it has ended")
            room.overlay({"etc/motd": motd})
            pc.tick(rc=1)
            assert f"el7: ticked; update to {image} begun; last time: " in pc.log("98systems")
            assert (at / "el7/etc/motd").read_text() == motd
            until(lambda: not processes_of(pc.root), "it has ended again")
            assert os.listdir(at) == ["el7"]
            subprocess.run(["chattr", "+i", at / "el7"], check=True)
        assert "chattr -i" in entry(pc, "el7")["words"]
    finally:
        subprocess.run(["chattr", "-i", at / "el7"], check=True)
    pc.tick(rc=None)
    settles(pc, "el7", "el8")


def test_a_tree_that_cannot_be_moved_is_not_gone_back_to(room: Room, pc: TickPC) -> None:
    room.image("el7", {"etc/release": "new\n"})
    pc.run("system", "update", "el7").ok()
    other = pc.root / "systems/.el7.other"
    subprocess.run(["chattr", "+i", other], check=True)
    try:
        done = pc.run("system", "rollback", "el7")
        assert (done.rc, "chattr -i" in done.err) == (2, True)
    finally:
        subprocess.run(["chattr", "-i", other], check=True)
    assert (pc.root / "systems/el7/etc/release").read_text() == "new\n"


def test_killed_in_mid_update_the_system_stands_and_the_update_goes_on(
    room: Room, pc: TickPC
) -> None:
    root = pc.root / "systems/el7"
    room.heavy_image("el8", 8)
    room.declare(section("el7", image="el8"), allie="bandwidth = 2M")
    part = pc.root / "systems/.el7.part"
    pc.tick(rc=None)
    for number in (2, 5):
        until(lambda: len(list(part.glob("usr/share/0*"))) >= number, "some came")  # noqa: B023
        kill(processes_of(pc.root))
        until(lambda: not processes_of(pc.root), "they are dead")
        assert (root / "etc/release").read_text() == "one\n"
        assert entry(pc, "el7")["image"] == "el7"
        assert in_system(pc, "el7", "run-conf").rc == 0, "it is in use meanwhile"
        pc.tick(rc=None)
    arrives(pc, "el7", "el8")
    for path in (room.store / "images/el8/usr/share").iterdir():
        assert (root / "usr/share" / path.name).read_bytes() == path.read_bytes()


class _Cut(BaseException):
    """The power goes."""


@pytest.mark.parametrize("exchange", [True, False])
def test_cut_short_at_any_step_of_the_switch(
    pc: TickPC, exchange: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before each call that changes a name: there is a whole system, and the next try ends it."""
    base = open_system.open_system(str(pc.root))
    declared = Declared("el7", "/systems/el7", "el7", ("kit", "common"))
    root = f"{pc.root}/systems/el7"
    steps = 0
    real_rename, real_unlink, swap = os.rename, os.unlink, atomic.exchange
    left = -1

    def step() -> None:
        nonlocal left, steps
        steps += 1
        if left == 0:
            raise _Cut
        left -= 1

    def rename(one: str, other: str, **within: int) -> None:
        if not within:  # else something moves in a tree that is being removed
            step()
        real_rename(one, other, **within)

    def unlink(path: str, *, dir_fd: int | None = None) -> None:
        if path.endswith(other_systems.NOTE):
            step()
        real_unlink(path, dir_fd=dir_fd)

    def exchanged(one: str, other: str) -> bool:
        step()
        return swap(one, other) if exchange else False

    monkeypatch.setattr(os, "rename", rename)
    monkeypatch.setattr(os, "unlink", unlink)
    monkeypatch.setattr(atomic, "exchange", exchanged)
    for cut in range(40):
        left = -1
        number = _make_ready(root, cut)
        steps, left = 0, cut
        try:
            update_rollback._set_up(root, other_systems.beside(root, "part"))
            update_rollback._switch(root)
            break
        except _Cut:
            pass
        left = -1
        update_rollback.recover(base, declared, root)
        assert other_systems.standing(declared, root)[0] == other_systems.THERE
        if os.path.isdir(other_systems.beside(root, "part")):  # what `update` goes on with
            update_rollback._set_up(root, other_systems.beside(root, "part"))
            update_rollback._switch(root)
        assert _content(root, "number") == number
        assert not other_systems.note_of(root)
        assert sorted(os.listdir(f"{pc.root}/systems")) == [".el7.other", "el7"]
    else:
        pytest.fail("it never came to its end")
    assert cut > 3
    assert _content(root, "number") == number
    assert pc.run("system", "rollback", "el7").ok()
    assert _content(root, "number") != number
    pc.tick()


def _make_ready(root: str, number: int) -> str:
    """A whole new tree beside the present one, as `build` leaves it."""
    part = other_systems.beside(root, "part")
    subprocess.run(["cp", "-a", root, part], check=True)
    Path(part, "number").write_text(f"{number}")
    other_systems.write_note(
        part, other_systems.Note("el7", "el7", other_systems.READY, update=True)
    )
    return f"{number}"


def _content(root: str, name: str) -> str:
    path = Path(root, name)
    return path.read_text() if path.exists() else ""


def test_what_is_not_possible_is_said(room: Room, pc: TickPC) -> None:
    done = pc.run("system", "rollback", "el7")
    assert (done.rc, "no tree of el7 to go back to" in done.err) == (2, True)
    done = pc.run("system", "update", "nothing")
    assert (done.rc, "allie.conf declares no system nothing" in done.err) == (64, True)
    done = pc.run("system", "update", "pc")
    assert (done.rc, "is the system that runs now" in done.err) == (64, True)
    done = pc.run("system", "update")
    assert (done.rc, "needs NAME" in done.err) == (64, True)
    room.server.stop()
    done = pc.run("system", "update", "el7")
    assert (done.rc, "does not answer" in done.err) == (2, True)
    assert (pc.root / "systems/el7/etc/release").read_text() == "one\n"
    room.server.start()


def test_remove_is_the_stores_where_the_settings_are(pc: TickPC) -> None:
    done = pc.run("system", "remove", "el7")
    assert (done.rc, "allie.conf comes from an overlay" in done.err) == (64, True)
    assert (pc.root / "systems/el7/etc/release").exists()


def test_a_system_that_is_declared_no_more_can_be_removed(room: Room, pc: TickPC) -> None:
    """It is not ticked, it is listed, and its removal needs no change of allie.conf."""
    room.declare()
    room.overlay({"etc/motd": "new\n"})
    pc.tick()
    root = pc.root / "systems/el7"
    assert (root / "etc/motd").read_text() == "common\n"
    assert "el7 " in pc.run("system", "list").ok().out
    orphan = entry(pc, "el7")
    assert (orphan["state"], orphan["image"], orphan["root"]) == ("orphaned", "el7", "/systems/el7")
    assert pc.run("system", "update", "el7").rc == 64
    pc.run("system", "remove", "el7").ok()
    assert os.listdir(pc.root / "systems") == []
    assert "el7" not in pc.run("system", "list").ok().out
    assert pc.run("system", "remove", "el7").rc == 64
    pc.tick()


def test_add_and_remove(room: Room) -> None:
    (room.store / "overlays/common/etc/allie/allie.conf").unlink()
    pc = room.pc("pc08")
    pc.run("system", "add", "el7", "--in", "/systems/seven").ok()
    assert "overlays = kit, common\n" in pc.read("etc/allie/allie.conf")
    assert pc.read("systems/seven/etc/motd") == "common\n"
    assert entry(pc, "el7")["state"] == "there"
    listed = pc.run("system", "list").ok().out
    assert "pc " in listed
    assert "el7 " in listed
    pc.run("system", "add", "el7").ok()  # nothing to do
    said = pc.run("system", "remove", "el7").ok().out
    assert "removed, and [system el7] of allie.conf" in said
    assert "el7" not in pc.read("etc/allie/allie.conf")
    assert os.listdir(pc.root / "systems") == []
    assert pc.run("system", "add", "el7").rc == 64
    pc.tick()


def test_what_was_somebodys_before_add_is_there_after_remove(room: Room) -> None:
    """An empty directory in which no system could be."""
    (room.store / "overlays/common/etc/allie/allie.conf").unlink()
    pc = room.pc("pc08", {"srv": Dir(owner=(0, 54321))})
    assert pc.run("system", "add", "el7", "--in", "/srv").rc == 2
    pc.run("system", "remove", "el7").ok()
    assert (pc.root / "srv").stat().st_gid == 54321


def test_people_at_work_in_it_keep_no_update(room: Room, pc: TickPC) -> None:
    """Their files come and go while they are taken over."""
    home = pc.root / "systems/el7/home/ann"
    make_tree(home, {**{f"f{each:04}": "x\n" for each in range(2000)}, "thesis": "hers\n"})
    flap = (
        "import os\nwhile True: [os.rename(a, a.swapcase()) for a in os.listdir() if a[0] in 'fF']"
    )
    with subprocess.Popen([sys.executable, "-c", flap], cwd=home) as busy:
        try:
            _release(room, "two\n")
            pc.run("system", "update", "el7").ok()
        finally:
            busy.kill()
    assert (pc.root / "systems/el7/etc/release").read_text() == "two\n"
