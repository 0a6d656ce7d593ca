"""The fleet, from real reports: read, judged, and no PC's trouble another one's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from allie.core.change import sent_report
from allie.core.change.report import Applied, Contact, Report
from allie.core.change.resolution import Problem
from allie.core.change.sent_report import Host
from allie.core.errors import StateError
from allie.core.script import Verdict
from allie.server import store as stores
from allie.server import store_conf
from allie.server.doors import enrolled, host_places, public_key
from allie.server.fleet import arrivals
from allie.server.fleet import fleet as fleets
from allie.server.fleet.fleet import Fleet, Pc
from allie.server.history import notes
from tests.worlds.store import SRC
from tests.worlds.toy import make_tree

NOW = time.time()
QUIET = Report(
    7,
    "debian12",
    "pc07",
    "1.0",
    NOW,
    0.1,
    image="debian12",
    contact=Contact("rsync://s", 3, NOW + 3600, answered=NOW),
    scripts=(Verdict("50x", "satisfied", "exit 0", NOW - 900.0, 0, 0.5),),
)


def text_of(*systems: Report, host: str = "pc07", **more: Any) -> bytes:
    """A report as a PC sends it."""
    machine = Host(host, "ab" * 16, "boot", int(NOW) - 9000, "6.1", 100 << 30, 50 << 30)
    value = sent_report.value_of(machine, [sent_report.told(each, {}) for each in systems])
    return json.dumps({**value, **more}).encode()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    place = tmp_path / "store"
    stores.begin(str(place), "overlays/common")
    return place


def arrives(store: Path, host: str, text: bytes) -> Path:
    """What a host sends."""
    inbox = store / "inbox" / host
    inbox.mkdir(exist_ok=True)
    (inbox / "report").write_bytes(text)
    return inbox / "report"


_KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"


def load(store: Path, after: float = 10.0) -> Fleet:
    """The fleet, so many seconds from now."""
    return fleets.load(str(store), time.time() + after)


def pc_of(fleet: Fleet, host: str) -> Pc:
    return next(each for each in fleet.pcs if each.host == host)


def test_one_that_has_all_is_current(store: Path) -> None:
    arrives(store, "pc07", text_of(QUIET, sent=time.time()))
    pc = pc_of(load(store), "pc07")
    assert (pc.state, pc.why, pc.worst.on_pc, pc.expected_by) == ("current", "", "", ("reported",))
    assert pc.systems[0].reached
    assert abs(pc.heard - time.time()) < 60


@pytest.mark.parametrize(
    ("report", "state", "why"),
    [
        (QUIET._replace(scripts=(Verdict("50x", "failing", "", NOW, 3),)), "failing", "50x exit 3"),
        (
            QUIET._replace(applied=(Applied(7, "overlay", problems=(Problem("etc/a", "tie"),)),)),
            "failing",
            "/etc/a is left as it is: tie",
        ),
        (QUIET._replace(contact=Contact("s", 3, NOW, "no kit", NOW, True)), "refused", "no kit"),
        (QUIET._replace(paused="holidays"), "paused", "holidays"),
    ],
)
def test_what_it_says_is_wrong(store: Path, report: Report, state: str, why: str) -> None:
    arrives(store, "pc07", text_of(report, sent=time.time()))
    pc = pc_of(load(store), "pc07")
    assert (pc.state, pc.why) == (state, why)
    assert pc.worst.todo(pc.host).startswith("ssh pc07 allie ")


@pytest.mark.parametrize(
    ("hours", "state"), [(1, "current"), (25, "current"), (27, "off"), (71, "off"), (73, "stale")]
)
def test_silence(store: Path, hours: int, state: str) -> None:
    arrives(store, "pc07", text_of(QUIET, sent=time.time()))
    assert pc_of(load(store, hours * 3600.0), "pc07").state == state


def test_a_change_is_on_its_way_and_then_late(store: Path) -> None:
    before = QUIET._replace(contact=Contact("s", 3, NOW - 7200))
    make_tree(store / "overlays/common", {"etc/motd": "new\n"})
    arrives(store, "pc07", text_of(before, sent=time.time()))
    assert pc_of(load(store), "pc07").state == "current"
    assert not pc_of(load(store), "pc07").systems[0].reached
    assert pc_of(load(store, 3 * 3600.0), "pc07").state == "behind"


def test_who_is_expected(store: Path) -> None:
    make_tree(store / "overlays/common", {"etc/allie/classes": "lab: pc[07-09] srv* PC10\n"})
    arrives(store, "pc07.example.org", text_of(QUIET))
    fleet = load(store)
    assert {each.host: each.expected_by for each in fleet.pcs} == {
        "pc07.example.org": ("classes", "reported"),
        "pc08": ("classes",),
        "pc09": ("classes",),
        "pc10": ("classes",),
    }
    assert pc_of(fleet, "pc08").state == "missing"


def test_no_pc_says_that_it_is_in_a_class_of_the_stores(store: Path) -> None:
    """`clush -w @allie:class.db --copy FILE` would hand it what is for others."""
    make_tree(store / "overlays/common", {"etc/allie/classes": "db: pc01\nlab: pc0*\n"})
    arrives(store, "pc07", text_of(QUIET._replace(classes=("db", "own"))))
    assert pc_of(load(store), "pc07").classes == ("lab", "own")
    make_tree(store / "overlays/common", {"etc/allie/classes": "no file of classes\n"})
    assert pc_of(load(store), "pc07").classes == ("db", "own")  # nobody else can say it


NAMES = [
    ("pc[1-2]", (), {"pc1", "pc2"}),
    ("pc1 pc1.a.org", (), {"pc1.a.org"}),
    ("pc1 pc1.a.org pc1.b.org", (), {"pc1.a.org", "pc1.b.org"}),
    ("pc1.a.org", ("pc1",), {"pc1"}),
    ("pc1", ("pc1.a.org",), {"pc1.a.org"}),
    ("pc1.a.org pc1.b.org", ("pc1",), {"pc1", "pc1.a.org", "pc1.b.org"}),
    ("pc* lab?", ("srv",), {"srv"}),
    ("PC7", ("pc7",), {"pc7"}),
]


@pytest.mark.parametrize(("members", "inboxes", "expected"), NAMES)
def test_a_host_of_several_names_is_one(
    store: Path, members: str, inboxes: tuple[str, ...], expected: set[str]
) -> None:
    make_tree(store / "overlays/common", {"etc/allie/classes##class.x": f"lab: {members}\n"})
    for host in inboxes:
        (store / "inbox" / host).mkdir()
    fleet = load(store)
    assert {each.host for each in fleet.pcs} == expected
    assert all(each.classes == ("lab",) for each in fleet.pcs if "classes" in each.expected_by)


def test_none_falls_off_before_it_is_purged(store: Path) -> None:
    places = store_conf.places(str(store))
    arrives(store, "pc07", text_of(QUIET))
    assert pc_of(load(store, 90 * 86400.0), "pc07").state == "stale"
    assert not pc_of(load(store), "pc07").told.notes  # type: ignore[union-attr]
    key = public_key.parse(f"ssh-ed25519 {_KEY}")
    enrolled.enrol(places, {"pc08": key})
    assert "not enrolled" in pc_of(load(store), "pc07").told.notes[0]  # type: ignore[union-attr]
    enrolled.retire(places, "pc08")
    for host in ("pc07", "pc08"):
        host_places.purge(places, host)
    assert load(store).pcs == ()


def test_what_cannot_be_looked_at_is_told(store: Path) -> None:
    classes = "etc/allie/classes"
    make_tree(store / "overlays/common", {classes: "lab: pc[1-90000]\n"})
    make_tree(store / "overlays/other", {classes: "lab pc1\n"})
    (store / "etc").mkdir()
    (store / "etc/authorized_hosts").write_text("whatever\n")
    (store / "inbox").rmdir()
    (store / "inbox").write_text("")
    with pytest.raises(StateError, match="inbox cannot be looked at"):
        load(store)
    (store / "inbox").unlink()
    told = load(store).troubles
    assert [words for words in told if "pc[1-90000] names more than" in words]
    assert [words for words in told if words.startswith("overlays/other/etc/allie/classes: ")]
    assert [words for words in told if "authorized_hosts: line 1" in words]


def test_reports_from_later_are_told(store: Path) -> None:
    """A server's clock was a year ahead: one that is silent since would seem well for a year."""
    arrives(store, "pc07", text_of(QUIET))
    assert load(store).troubles == load(store, -600).troubles == ()
    (trouble,) = load(store, -365 * 86400).troubles
    assert "reports of pc07 came later than now is" in trouble


def test_one_whose_report_came_later_than_now_grows_stale(store: Path) -> None:
    """From the first look on that the clock is right: that it came by then is all that is known."""
    arrives(store, "pc07", text_of(QUIET, sent=time.time()))
    ahead, year = load(store), -365 * 86400.0
    notes.note(ahead)
    for days, state in ((0, "current"), (2, "off"), (4, "stale")):
        fleet = load(store, year + days * 86400)
        notes.note(fleet)
        pc = pc_of(fleet, "pc07")
        assert (pc.state, 0 < pc.worst.since <= fleet.now) == (state, True)
        assert abs(pc.heard - (ahead.now + year)) < 60  # the first look of those


@pytest.mark.parametrize("deed", ["copied", "another owner"])
def test_a_report_came_when_it_was_first_seen(store: Path, tmp_path: Path, deed: str) -> None:
    """Also in a store that was restored, where each file came to stand there just now."""
    path = arrives(store, "pc07", text_of(QUIET, sent=time.time()))
    arrives(store, "pc08", text_of(QUIET))  # of an older ALLiE: not when it was sent
    before = load(store)
    notes.note(before)
    time.sleep(0.05)
    if deed == "copied":
        store = shutil.copytree(store, tmp_path / "copy", symlinks=True)
    else:
        os.chown(path, -1, -1)
        os.chmod(path, 0o640)
    after = load(store)
    assert pc_of(after, "pc07").heard == pc_of(before, "pc07").heard
    assert pc_of(load(store, 4 * 86400), "pc07").state == "stale"
    assert pc_of(after, "pc08").heard >= pc_of(before, "pc08").heard
    arrives(store, "pc07", text_of(QUIET, sent=time.time()))
    assert pc_of(load(store), "pc07").heard > pc_of(before, "pc07").heard
    (store / arrivals.NAME).write_text('{"pc07": [[]')
    assert arrivals.read(str(store)) == {}


def test_odd_inboxes_are_their_own_trouble(store: Path) -> None:
    arrives(store, "pc07", text_of(QUIET))
    alone = pc_of(load(store), "pc07")
    (store / "inbox/pc08").mkdir()
    os.mkfifo(store / "inbox/pc08/report")
    (store / "inbox/pc09").symlink_to("pc07")
    (store / "inbox/pc10").mkdir()
    (store / "inbox/pc10/report").symlink_to("/etc/passwd")
    (store / "inbox/pc11").write_text("x")
    arrives(store, "pc12", b"x" * (300 << 10))
    (store / "inbox/pc13").mkdir()
    arrives(store, "pc14", b"[" * 200_000)
    (store / "inbox/\x1b[31m").mkdir()
    fleet = load(store)
    assert pc_of(fleet, "pc07")._replace(heard=0, told=None) == alone._replace(heard=0, told=None)
    odd = [each for each in fleet.pcs if each.host != "pc07"]
    assert [each.state for each in odd] == ["missing"] * 7
    assert [each.host for each in odd if each.told] == [
        *("pc08", "pc09", "pc10", "pc11", "pc12", "pc14")
    ]
    assert fleet.troubles == ("inbox: no host is called so: '\\x1b[31m'",)


_LOAD = """
import gc, json, re, sys, time
from allie.server.fleet import fleet
gc.disable()  # as cli.main
def spent(): return time.process_time(), int(re.search("VmHWM:(.*)kB", status())[1])
def status(): return open("/proc/self/status").read()
began, small = spent()
for host in range(int(sys.argv[2])):
    with open(f"{sys.argv[1]}/inbox/pc{host:05}/report", "rb") as report:
        json.loads(report.read())
parsed, small = spent()
loaded = fleet.load(sys.argv[1], time.time())
read, large = spent()
print(len(loaded.pcs), (read - parsed) / (parsed - began), (large - small) * 1024 / len(loaded.pcs))
"""


@pytest.mark.slow
def test_many_reports_cost_little_more_than_reading_them(store: Path) -> None:
    """As a ratio: ten thousand are read in under two seconds, and 200 MB, on an ordinary server."""
    scripts = tuple(Verdict(f"{n:02}x", "satisfied", "exit 0", NOW, 0, 0.5) for n in range(20))
    text = text_of(QUIET._replace(scripts=scripts), sent=NOW)
    for number in range(2000):
        arrives(store, f"pc{number:05}", text)
    done = subprocess.run(
        [sys.executable, "-c", _LOAD, str(store), "2000"],
        env={"PYTHONPATH": str(SRC)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    count, ratio, memory = map(float, done.stdout.split())
    assert count == 2000
    assert ratio < 8, f"{ratio:.1f} times the CPU of parsing the same files"
    assert memory < 18_000, f"{memory:.0f} bytes of memory a PC"
