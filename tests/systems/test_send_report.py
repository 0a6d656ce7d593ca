"""99report tells the store how this PC is: when it has news, and once a day.

docs/internals/rules.md, "A report goes when it has news".
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from allie.client.situation import settings_in_force
from allie.client.systems import send_report
from allie.machine.roots import open_system
from tests.tick.site import Site, script
from tests.worlds.ssh_door import SshDoor, make_key
from tests.worlds.toy import File, make_tree

pytestmark = [pytest.mark.root, pytest.mark.real]


class Told:
    """A PC that tells its store."""

    def __init__(self, site: Site, door: SshDoor) -> None:
        self.site, self.door, self.pc = site, door, site.pc
        (self.pc.root / "etc/ssh").mkdir()
        self.key = make_key(self.pc.root / "etc/ssh/ssh_host_ed25519_key")
        make_tree(self.pc.root, {"etc/machine-id": "0123456789abcdef0123456789abcdef\n"})

    @property
    def path(self) -> Path:
        """Where its report arrives."""
        return self.site.store / "inbox/pc07/report"

    @property
    def report(self) -> dict[str, Any]:
        """What it has told."""
        found: dict[str, Any] = json.loads(self.path.read_text())
        return found

    def tick(self, rc: int = 0) -> str:
        """A tick; how 99report stands after it."""
        return str(self.pc.tick(rc)["99report"]["state"])

    def tells(self) -> bool:
        """Have a tick done; whether it told anything. That others write on this disk is no news."""
        note = self.pc.path("var/lib/allie/report-sent")
        if note.exists() and self.sent()["value"]:
            room = os.statvfs(self.pc.root)
            sent = self.sent()
            sent["value"]["machine"]["free"] = room.f_bavail * room.f_frsize
            note.write_text(json.dumps(sent))
        self.path.unlink(missing_ok=True)
        before = self.sent() if note.exists() else {}
        assert self.tick() == "satisfied"
        self.news = _differing(before.get("value"), self.sent()["value"])
        return self.path.exists()

    def sent(self) -> dict[str, Any]:
        """What it has noted of what it sent last."""
        found: dict[str, Any] = json.loads(self.pc.read("var/lib/allie/report-sent"))
        return found


def _differing(one: Any, other: Any, at: str = "") -> list[str]:
    """Where two values differ, and by what."""
    if isinstance(one, dict) and isinstance(other, dict):
        names = sorted(one.keys() | other.keys())
        return [e for n in names for e in _differing(one.get(n), other.get(n), f"{at}/{n}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [e for n, pair in enumerate(zip(one, other)) for e in _differing(*pair, f"{at}/{n}")]
    return [] if one == other else [f"{at}: {one} {other}"]


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    site = Site(tmp_path, {"etc/motd": "common\n", "root/conf/50fails": script("exit 0")})
    for name in ("images", "releases"):
        (site.store / name).mkdir(exist_ok=True)
    with SshDoor(site.store) as door:
        yield Told(site, door)


@pytest.fixture
def enrolled(told: Told) -> Told:
    told.door.enrol("pc07", told.key)
    make_tree(told.site.store, {"private/pc07/etc/secret": File("the secret\n", 0o600)})
    told.site.join("--own", told.door.url, "--no-timer")
    return told


def test_what_it_tells(enrolled: Told) -> None:
    report = enrolled.report
    own = report["systems"][0]
    assert (report["format"], report["machine"]["host"], own["host"]) == (1, "pc07", "pc07")
    assert len(report["machine"]["identity"]) == 32
    assert "0123456789abcdef" not in enrolled.path.read_text()
    assert {each["name"]: each["state"] for each in own["scripts"]} == {
        "00overlay": "satisfied",
        "01overact": "satisfied",
        "50fails": "satisfied",
        "98systems": "satisfied",
    }
    assert "etc/secret" in own["changed"]["did"]["new"]
    assert "the secret" not in enrolled.path.read_text()
    assert len(enrolled.path.read_bytes()) < 8192
    assert (enrolled.path.stat().st_uid, enrolled.path.stat().st_mode & 0o777) == (65534, 0o600)


def test_no_content_of_a_file_is_told(enrolled: Told) -> None:
    """Also not of one that somebody changed; of a script what it said itself, if it fails."""
    pc, site = enrolled.pc, enrolled.site
    site.overlay(
        {
            "etc/open": "in the-overlay\n",
            "etc/closed": File("in the-closed-one\n", 0o600),
            "etc/dir##once": "in the-one-that-is-once\n",
            "root/conf/50says": script("echo the-satisfied-ones", "# the-script-itself"),
            "root/conf/51says": script("cat /etc/closed; echo said-by-itself", "exit 3"),
        }
    )
    enrolled.tick(1)
    make_tree(pc.root, {"etc/open": "by the-hand\n", "etc/closed": File("the-other-hand\n", 0o600)})
    make_tree(pc.root, {"etc/shadow": File("the-hash\n", 0o600)})
    pc.path("etc/allie/classes").mkdir(parents=True)  # a path that is refused
    (pc.path("etc/allie/classes") / "the-kept").write_text("the-kept-content\n")
    site.overlay({"etc/allie/classes": "lab: the-class-members\n"})
    enrolled.tick(1)
    text = enrolled.path.read_text()
    own = enrolled.report["systems"][0]
    assert own["changed"]["kinds"] == {"etc/open": "changed", "etc/closed": "changed"}
    assert "said-by-itself" in text
    assert "the-closed-one" in text  # 51says has printed it: documented
    for secret in (
        *("the-overlay", "the-one-that-is-once", "the-satisfied-ones", "the-script-itself"),
        *("the-hand", "the-other-hand", "the-hash", "the-kept-content", "the-class-members"),
    ):
        assert secret not in text, secret


def test_it_tells_what_is_new_once(enrolled: Told) -> None:
    for _ in range(2):
        assert not enrolled.tells(), enrolled.news
    make_tree(enrolled.pc.root, {"etc/motd": "an edit\n"})
    assert enrolled.tells()
    assert enrolled.report["systems"][0]["changed"]["did"] == {"drift": ["etc/motd"]}
    assert not enrolled.tells()
    enrolled.site.overlay({"root/conf/50fails": script("echo no room; exit 3")})
    enrolled.path.unlink(missing_ok=True)
    assert enrolled.tick(1) == "satisfied"
    (fails,) = [e for e in enrolled.report["systems"][0]["scripts"] if e["name"] == "50fails"]
    assert (fails["state"], fails["last"]) == ("failing", "no room")


def test_once_a_day_it_tells_the_same_again(enrolled: Told) -> None:
    note = enrolled.pc.path("var/lib/allie/report-sent")
    for since, again in ((80_000, False), (90_000, True), (-5, True)):
        sent = enrolled.sent()
        note.write_text(json.dumps({**sent, "at": sent["at"] - since}))
        assert enrolled.tells() == again, (since, enrolled.news)


def test_one_that_cannot_be_sent_is_kept(enrolled: Told) -> None:
    shutil.rmtree(enrolled.path.parent)
    make_tree(enrolled.pc.root, {"etc/motd": "an edit\n"})
    assert enrolled.tick() == "waiting"
    assert "kept for a later tick" in enrolled.pc.run("status").out
    enrolled.path.parent.mkdir(0o700)
    os.chown(enrolled.path.parent, 65534, 65534)
    assert enrolled.tells()
    assert enrolled.report["systems"][0]["changed"]["did"] == {"drift": ["etc/motd"]}
    enrolled.door.stop()
    make_tree(enrolled.pc.root, {"etc/motd": "another\n"})
    assert enrolled.tick() == "waiting"
    enrolled.door.start()
    assert enrolled.tells()


def test_a_place_that_was_emptied_is_told_of(enrolled: Told) -> None:
    """The door answered, and takes reports: the server shows what the PC refuses, and why."""
    shutil.rmtree(enrolled.site.store / "private/pc07/etc")
    enrolled.path.unlink()
    assert enrolled.tick(1) == "satisfied"
    own = enrolled.report["systems"][0]["own_door"]
    assert own["refused"]
    assert own["trouble"].startswith("overlay private lost 1 of its 1 files")


def test_a_server_that_never_comes_to_an_end_is_left(enrolled: Told) -> None:
    """It sends fast enough, and for ever, what comes before a module is asked for."""
    lines = Path(enrolled.door.places.enrolled)
    daemon = f"rsync --server --daemon --config={enrolled.door.places.own} ."
    words = "sh -c 'echo @RSYNCD: 31.0; while printf %0999d 0; do echo; sleep .1; done'"
    assert daemon in lines.read_text()
    lines.write_text(lines.read_text().replace(daemon, words))
    here = open_system.open_system(str(enrolled.pc.root))
    settings = settings_in_force.settings_of(here)._replace(stall=1)
    began = time.monotonic()
    assert "was not done in the time" in send_report._push(here, settings, enrolled.door.url, "{}")
    assert time.monotonic() - began < 15


def test_it_waits_to_be_enrolled(told: Told) -> None:
    told.site.join("--own", told.door.url, "--no-timer")
    assert told.tick() == "waiting"
    told.door.enrol("pc07", told.key)
    assert told.tells()


def test_without_a_second_door_it_rests_and_says_so_once(told: Told) -> None:
    told.site.join("--no-timer")
    log = told.pc.path("var/log/allie/99report.log")
    assert "this store has no place for reports" in log.read_text()
    log.unlink()
    assert told.tick() == "satisfied"
    assert not log.exists()
    place = told.site.store / "inbox/pc07"  # a store that is a directory here has one by now
    place.mkdir(parents=True)
    told.pc.path("var/lib/allie/quick/note").unlink(missing_ok=True)  # as it is within a day
    assert told.tells()


def test_that_ticks_are_paused_is_told(enrolled: Told) -> None:
    enrolled.path.unlink()
    enrolled.pc.run("pause", "an", "exam").ok()
    assert enrolled.tick() == "satisfied"
    assert enrolled.report["systems"][0]["paused"] == "an exam"
    enrolled.pc.run("resume").ok()
    assert enrolled.tells()
    assert enrolled.report["systems"][0]["paused"] == ""


def test_by_hand_it_tells_in_any_case(enrolled: Told) -> None:
    enrolled.path.unlink()
    enrolled.pc.run("99report").ok()
    assert enrolled.report["systems"][0]["system"]


PAGE = Path(__file__).parents[2] / "docs/reference/reports.md"
# What is another on each machine, or each time, as the page has it
_SHOWN = {
    "sent": 1764410460.0,
    "next_tick": 1764414058.0,
    "began": 1764410458.0,
    "at": 1764410400.0,
    "since": 1764410459.0,
    "good": 1764410458.0,
    "answered": 1764410458.0,
    "seconds": 0.2,
    "booted": 1764403200,
    "disk": 105089261568,
    "free": 88046829568,
    "kernel": "6.12.57",
    "boot": "f2c61ab6-6b2a-4fd1-9c5b-0a1c02e3a7d4",
    "rsync": "3.2.7",
    "version": "1.0",
    "virt": "",  # whether somebody has asked this machine is another test's
}


def _shown(value: Any, places: dict[str, str]) -> Any:
    """A report as the page shows it: what the machine says of itself is told apart by its kind."""
    if isinstance(value, dict):
        return {
            name: _SHOWN[name] if each and name in _SHOWN else _shown(each, places)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [_shown(each, places) for each in value]
    for place, word in places.items():
        value = value.replace(place, word) if isinstance(value, str) else value
    return value


def test_the_page_shows_a_report_as_one_was_sent(enrolled: Told) -> None:
    pc = enrolled.pc
    enrolled.site.overlay({"root/conf/50fails": script("echo no room on /srv; exit 3")})
    timers = pc.path("etc/systemd/system/timers.target.wants")
    timers.mkdir(parents=True, exist_ok=True)
    (timers / "allie.timer").symlink_to("/etc/systemd/system/allie.timer")
    make_tree(pc.root, {"etc/motd": "an edit\n"})
    pc.run("adopt", "/etc/motd", "--yes", "--reason", "the lab has moved").ok()
    enrolled.tick(1)
    places = {str(enrolled.site.store): "/srv/allie", enrolled.door.url: "ssh://server"}
    made = _shown(enrolled.report, places)
    blocks = PAGE.read_text().split("```json\n")[1:]
    assert json.loads(blocks[0].split("```")[0]) == made, json.dumps(made, indent=1)


def test_a_script_that_was_mended_is_told_of_at_once(enrolled: Told) -> None:
    """As `allie fleet` says what to type; the next tick is an hour away."""
    enrolled.site.overlay({"root/conf/50fails": script("test -e /mended")})
    enrolled.pc.tick(1)
    assert _standing(enrolled)["50fails"] == "failing"
    assert enrolled.pc.run("run-conf", "50fails").rc == 1
    enrolled.path.unlink()
    assert enrolled.pc.run("run-conf", "50fails").rc == 1
    assert not enrolled.path.exists(), "that it fails as before is no news"
    make_tree(enrolled.pc.root, {"mended": ""})
    enrolled.pc.run("run-conf", "50fails").ok()
    assert _standing(enrolled)["50fails"] == "satisfied"


def _standing(told: Told) -> dict[str, str]:
    return {each["name"]: each["state"] for each in told.report["systems"][0]["scripts"]}
