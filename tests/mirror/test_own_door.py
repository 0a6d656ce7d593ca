"""What a store has for one host alone comes by a door of its own, and does not go by accident.

docs/internals/rules.md, "Two doors, one generation".
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from allie.client.state import records
from allie.client.tick import report_text
from allie.core.change.report import Contact
from allie.machine.roots import open_system
from allie.machine.transfer.ssh_door import fingerprint
from tests.worlds.one_pc import World, snapshot
from tests.worlds.ssh_door import SshDoor, make_key
from tests.worlds.store import served
from tests.worlds.toy import Device, File, Tree, make_tree

pytestmark = [pytest.mark.real, pytest.mark.root]
KEY = "etc/ssh/ssh_host_ed25519_key"
SECRET: Tree = {"etc/secret": File("pc07's own\n", 0o600), "etc/motd##host.pc07": "private\n"}


class Own(World):
    """A PC whose store has an ssh door."""

    def __init__(self, top: Path, door: SshDoor) -> None:
        super().__init__(top, {"etc/motd": "common\n", "etc/both": "common\n"})
        self.door = door
        (self.root / "etc/ssh").mkdir(exist_ok=True)
        self.key = make_key(self.root / KEY)
        self.follow(own=door.url)

    @property
    def place(self) -> Path:
        """What the store has for this host alone."""
        return self.store / "private/pc07"

    def enrol(self) -> None:
        """As `allie store enrol pc07 KEY`, with something in its place."""
        self.door.enrol("pc07", self.key)
        make_tree(self.place, SECRET)

    def status(self) -> str:
        """What `allie status` says of its own door."""
        return report_text.own_door(self.contact, time.time())

    @property
    def contact(self) -> Contact:
        """How the PC stands with it."""
        return records.own_contact(open_system.open_system(str(self.root)))


@pytest.fixture
def door(tmp_path: Path) -> Iterator[SshDoor]:
    for name in ("overlays", "images", "releases"):
        (tmp_path / "store" / name).mkdir(parents=True, exist_ok=True)
    with SshDoor(tmp_path / "store") as found:
        yield found


@pytest.fixture
def world(tmp_path: Path, door: SshDoor) -> Own:
    return Own(tmp_path, door)


@pytest.fixture
def enrolled(world: Own) -> Own:
    world.enrol()
    world.good()
    return world


def refused(world: Own, words: str) -> None:
    """A tick that keeps the secrets, says so loudly, and brings what is common."""
    before, news = snapshot(world.root), f"etc/news{time.monotonic_ns()}"
    world.put({news: "1\n"})
    done = world.tick()
    assert done.rc == 1, done.out
    assert words in done.out
    after = snapshot(world.root)
    assert {*after} - {*before} == {news}
    assert world.read("etc/secret") == "pc07's own\n"
    assert world.state("mirror/current/private/etc/secret").exists()


def test_what_is_private_is_laid_last(enrolled: Own) -> None:
    assert enrolled.read("etc/secret") == "pc07's own\n"
    assert enrolled.read("etc/motd") == "private\n"
    assert enrolled.read("etc/both") == "common\n"
    listed = enrolled.state("mirror/current/.overlays").read_text().split()
    assert listed == ["kit", "common", "private"]
    for place in ("mirror", "mirror/current/", "mirror/current/private"):
        assert enrolled.state(place).stat().st_mode & 0o077 == 0, place
    assert f"{enrolled.door.url}, last good" in enrolled.status()
    assert "private" in enrolled.pc.run("why", "/etc/motd").out


def test_what_has_come_is_what_the_store_has_to_the_nanosecond(world: Own) -> None:
    """Else it would come anew, wherever the store was changed in the second of the fetch."""
    for number in range(4):
        world.door.enrol("pc07", world.key)
        make_tree(world.place, {f"etc/{number}": "1\n"})
        world.tick().ok()
        held = world.state("mirror/current/private")
        assert held.stat().st_mtime_ns == world.place.stat().st_mtime_ns
        assert (held / "etc").stat().st_mtime_ns == (world.place / "etc").stat().st_mtime_ns


def test_a_host_that_is_not_enrolled_gets_what_is_common_and_says_that_it_waits(world: Own) -> None:
    done = world.tick().ok()
    assert world.read("etc/both") == "common\n"
    words = f"waits to be enrolled ({fingerprint(world.key)})"
    assert words in done.out
    assert words in world.status()
    assert not world.contact.refused
    world.steady()
    world.enrol()
    world.good()
    assert world.read("etc/secret") == "pc07's own\n"
    assert "waits" not in world.status()


def test_a_change_of_it_comes_and_goes(enrolled: Own) -> None:
    make_tree(enrolled.place, {"etc/secret": File("another\n", 0o600), "etc/more": "1\n"})
    enrolled.good()
    assert enrolled.read("etc/secret") == "another\n"
    (enrolled.place / "etc/more").unlink()
    (enrolled.place / "etc/motd##host.pc07").unlink()
    enrolled.good()
    assert not enrolled.there("etc/more")
    assert enrolled.read("etc/motd") == "common\n"
    enrolled.put({"etc/both": "2\n"})  # what is common changes, and by itself
    enrolled.good()
    assert (enrolled.read("etc/both"), enrolled.read("etc/secret")) == ("2\n", "another\n")


def test_one_that_is_retired_keeps_its_secrets_loudly(enrolled: Own) -> None:
    enrolled.door.retire("pc07")
    refused(enrolled, "waits to be enrolled (SHA256:")
    refused(enrolled, "what it brought stays; for ")
    assert "to enrol   on the server: allie store enrol pc07 'ssh-" in enrolled.pc.run("status").out
    enrolled.door.enrol("pc07", enrolled.key)
    enrolled.good()


def test_a_door_that_is_away_is_no_failure(enrolled: Own) -> None:
    enrolled.door.stop()
    enrolled.put({"etc/news": "1\n"})
    done = enrolled.tick().ok()
    assert "; for " in done.out
    assert "does not answer" in done.out
    assert (enrolled.read("etc/news"), enrolled.read("etc/secret")) == ("1\n", "pc07's own\n")
    enrolled.steady()
    enrolled.door.start()
    enrolled.good()


def test_a_server_that_pretends_is_refused(enrolled: Own) -> None:
    enrolled.door.stop()
    enrolled.door.new_host_key()
    enrolled.door.start()
    make_tree(enrolled.place, {"etc/secret": "the pretender's\n"})
    refused(enrolled, "the server's key is another than before")
    assert "rm /etc/allie/known_hosts" in enrolled.status()
    (enrolled.root / "etc/allie/known_hosts").unlink()  # as it says, where the server is new
    enrolled.good()
    assert enrolled.read("etc/secret") == "the pretender's\n"


def test_what_answers_without_ssh_is_not_asked(enrolled: Own) -> None:
    """An rsync daemon with a module of that name, where the door was."""
    enrolled.door.stop()
    fake = served(enrolled.store)
    fake.port = enrolled.door.port
    make_tree(enrolled.store, {"private/etc/secret": "plain\n"})
    with fake:
        enrolled.put({"etc/news": "1\n"})
        done = enrolled.tick().ok()
        assert "no sshd answers there" in done.out
        assert (enrolled.read("etc/news"), enrolled.read("etc/secret")) == ("1\n", "pc07's own\n")
        assert "etc/secret" not in fake.log


def test_an_emptied_place_is_refused_and_consent_empties(enrolled: Own) -> None:
    for number in range(30):
        make_tree(enrolled.place, {f"etc/keys/{number}": "key\n"})
    enrolled.good()
    shutil.rmtree(enrolled.place / "etc")
    refused(enrolled, "overlay private lost 32 of its 32 files: nothing is taken")
    assert "touch private/pc07/.allie-withdraw" in enrolled.status()
    (enrolled.place / ".allie-withdraw").touch()
    enrolled.tick().ok()
    assert not enrolled.there("etc/secret")
    assert not enrolled.there("etc/keys")
    assert enrolled.read("etc/motd") == "common\n"
    enrolled.good()


def test_a_place_that_is_gone_is_refused(enrolled: Own) -> None:
    shutil.rmtree(enrolled.place)
    refused(enrolled, "there is no place for what is this PC's own")


def test_another_hosts_place_is_never_seen(enrolled: Own, tmp_path: Path) -> None:
    enrolled.door.enrol("pc08", make_key(tmp_path / "pc08"))
    make_tree(enrolled.store / "private/pc08", {"etc/pc08": "pc08's\n"})
    enrolled.good()
    assert not enrolled.there("etc/pc08")


def test_a_door_serves_for_both(world: Own) -> None:
    world.follow(store=world.door.url)
    done = world.tick()
    assert done.rc != 0
    assert "waits to be enrolled" in done.out
    world.enrol()
    world.good()
    assert (world.read("etc/both"), world.read("etc/secret")) == ("common\n", "pc07's own\n")


def test_a_store_that_is_a_directory_here_serves_what_is_private(world: Own) -> None:
    world.follow()
    world.good()
    make_tree(world.place, SECRET)
    world.good()
    assert (world.read("etc/motd"), world.read("etc/secret")) == ("private\n", "pc07's own\n")
    os.rename(world.place, f"{world.place}.away")
    refused(world, "has no private/pc07")
    os.rename(f"{world.place}.away", world.place)
    world.good()


def test_without_the_setting_it_is_withdrawn(enrolled: Own) -> None:
    with served(enrolled.store) as server:
        enrolled.follow(store=server.url)
        enrolled.good()
        assert not enrolled.there("etc/secret")
        assert not enrolled.contact.server


def test_a_key_is_made_where_there_is_none(world: Own) -> None:
    shutil.rmtree(world.root / "etc/ssh")
    world.tick().ok()
    key = world.root / KEY
    assert key.stat().st_mode & 0o777 == 0o600
    world.key = " ".join(Path(f"{key}.pub").read_text().split()[:2])
    assert fingerprint(world.key) in world.status()
    world.enrol()
    world.good()


def test_a_setting_names_another_key(world: Own) -> None:
    world.door.enrol("pc07", make_key(world.root / "etc/other"))
    make_tree(world.place, SECRET)
    conf = world.root / "etc/allie/allie.conf"
    conf.write_text(conf.read_text().replace("own =", "key = /etc/other\nown ="))
    world.good()
    conf.write_text(conf.read_text().replace("/etc/other", "/etc/none"))
    refused(world, "there is no /etc/none")


def test_what_an_overlay_must_not_hold_it_must_not_either(world: Own) -> None:
    """Who has the server has its PCs; but nothing leads out of a root, or grows without end."""
    world.enrol()
    outside = world.root.parent / "outside"
    outside.mkdir()
    world.at("srv").mkdir(exist_ok=True)
    world.at("srv/out").symlink_to(outside)
    hostile: Tree = {
        "etc/allie/system": "other\n",
        "var/lib/allie/x": "x\n",
        "srv/out/file": "x\n",
        "srv/null": Device(1, 3),
    }
    make_tree(world.place, hostile)
    done = world.tick()
    assert done.rc == 1
    assert world.read("etc/allie/system") == "toy\n"
    assert not world.there("var/lib/allie/x")
    assert not any(outside.iterdir())
    assert world.read("etc/secret") == "pc07's own\n"
    for path in ("etc/allie", "var", "srv/out"):
        shutil.rmtree(world.place / path)
    world.good()
    make_tree(world.place, {f"etc/much/{number}": "" for number in range(600)})
    refused(world, "overlay private grew from")


def test_settings_of_the_stores_are_followed_when_their_door_has_answered(enrolled: Own) -> None:
    """As with `store`: a slip must not cut a PC off from what it has."""
    conf = enrolled.read("etc/allie/allie.conf")
    enrolled.put({"etc/allie/allie.conf": conf})
    enrolled.good()
    slip = conf.replace(enrolled.door.url, "ssh://127.0.0.1:1")
    enrolled.put({"etc/allie/allie.conf": slip, "etc/news": "1\n"})
    done = enrolled.tick()
    assert done.rc == 1
    assert "the settings of before are: own: ssh://127.0.0.1:1 does not answer" in done.out
    assert (enrolled.read("etc/news"), enrolled.read("etc/allie/allie.conf")) == ("1\n", conf)
    make_tree(enrolled.place, {"etc/secret": "by the one before\n"})
    enrolled.tick()
    assert enrolled.read("etc/secret") == "by the one before\n"
    enrolled.put({"etc/allie/allie.conf": conf.replace("own =", "key = /etc/none\nown =")})
    assert "the settings of before are: own: there is no /etc/none" in enrolled.tick().out
    enrolled.put({"etc/allie/allie.conf": conf})
    enrolled.good()
    enrolled.door.retire("pc07")  # which holds up no other settings
    assert "what it brought stays" in enrolled.tick().out
    enrolled.put({"etc/allie/allie.conf": conf.replace("stall = 60", "stall = 61")})
    assert enrolled.tick().rc == 1
    assert "stall = 61" in enrolled.read("etc/allie/allie.conf")


def test_a_door_that_the_store_names_first_is_waited_at(world: Own) -> None:
    """A site begins to have one: its PCs follow the setting before they are enrolled."""
    world.follow()
    world.good()
    conf = world.read("etc/allie/allie.conf")
    world.put({"etc/allie/allie.conf": conf.replace("own =", f"own = {world.door.url}")})
    assert "its key is SHA256:" in world.tick().ok().out
    assert "waits to be enrolled" in world.status()
    world.enrol()
    world.good()
    assert world.read("etc/secret") == "pc07's own\n"


def test_what_is_private_does_not_wait_for_what_is_common(enrolled: Own) -> None:
    """A secret is changed at once, also while no store brings the rest, or it is refused."""
    with served(enrolled.store) as server:
        enrolled.follow(store=server.url, own=enrolled.door.url)
        enrolled.good()
        server.stop()
        make_tree(enrolled.place, {"etc/secret": File("another\n", 0o600)})
        assert "does not answer" in enrolled.tick().ok().out
        assert (enrolled.read("etc/secret"), enrolled.read("etc/both")) == ("another\n", "common\n")
        assert enrolled.state("fetched").read_text() == "private/etc/secret\n"
        assert not enrolled.state("mirror/private.new").exists()
        enrolled.steady()
        server.start()
        enrolled.good()
        shutil.rmtree(enrolled.overlay() / "etc")
        make_tree(enrolled.place, {"etc/secret": File("a third\n", 0o600)})
        done = enrolled.tick()
        assert (done.rc, "lost 2 of its 2 files" in done.out) == (1, True), done.out
        assert (enrolled.read("etc/secret"), enrolled.read("etc/both")) == ("a third\n", "common\n")


def test_a_server_that_stands_still_holds_up_no_tick(enrolled: Own) -> None:
    """It takes the call, and says nothing: neither end's keepalives pass for progress."""
    enrolled.follow(own=enrolled.door.url, stall=2)
    enrolled.good()
    enrolled.door.freeze()
    enrolled.put({"etc/news": "1\n"})
    began = time.monotonic()
    done = enrolled.tick().ok()
    assert time.monotonic() - began < 15, done.out
    assert "; for " in done.out
    assert (enrolled.read("etc/news"), enrolled.read("etc/secret")) == ("1\n", "pc07's own\n")
