"""`allie fleet`, as it is asked and as it answers, on reports of a fleet that is known."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from allie.core import digest
from allie.core.change import hand_fix
from allie.core.change.hand_fix import HandFix
from allie.core.change.report import Applied, Contact, Report
from allie.core.script import Verdict
from allie.server import mirror_state
from allie.server import store as stores
from allie.server.mirror_state import MirrorState
from tests.server.test_fleet import QUIET, arrives, text_of
from tests.worlds.store import SRC
from tests.worlds.toy import make_tree

FAILING = QUIET._replace(
    scripts=(Verdict("20packages", "failing", "exit 3", time.time() - 7260, 3, last="a\nno room"),)
)
DRIFTED = QUIET._replace(applied=(Applied(7, "overlay", 3, {"drift": ["etc/a"]}, {"drift": 1}),))
LATER = QUIET._replace(contact=Contact("rsync://s", 3, time.time() + 3600))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty PCs: 07 and 19 fail, 12 was changed by hand, 39 is not there."""
    place = tmp_path_factory.mktemp("fleet") / "store"
    stores.begin(str(place), "overlays/common")
    classes = "lab: pc[01-40]\nodd: pc[01,03,05]\nglobs: pc0*\n"
    make_tree(place / "overlays/common", {"etc/allie/classes": classes})
    for number in range(1, 41):
        host = f"pc{number:02}"
        report = {7: FAILING, 19: FAILING, 12: DRIFTED}.get(number, QUIET)
        if number != 39:
            arrives(place, host, text_of(report, host=host, sent=time.time()))
    return place


def allie(store: Path, *words: str) -> tuple[int, str, str]:
    """A command line: its exit status, what it says, and what it complains of."""
    done = subprocess.run(
        [sys.executable, "-m", "allie.cli.main", "fleet", "--store", str(store), *words],
        capture_output=True, text=True, timeout=300, check=False,
        env={"PYTHONPATH": str(SRC), "PATH": "/usr/bin:/bin", "TZ": "UTC"},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_where_the_pcs_of_a_mirror_report(tmp_path: Path) -> None:
    stores.begin(str(tmp_path), "overlays/common")
    make_tree(tmp_path / "overlays/common", {"etc/allie/classes": "lab: pc[01-40]\n"})
    assert "allie store setup" in allie(tmp_path)[1], "what makes PCs report"
    mirror_state.write(str(tmp_path), MirrorState("rsync://server"))
    assert "this store is a mirror: PCs report to rsync://server" in allie(tmp_path)[1]
    assert "allie store setup" not in allie(tmp_path)[1]


def test_the_view(store: Path) -> None:
    code, text, complaints = allie(store)
    assert (code, complaints) == (1, "")
    wide = [line for line in text.splitlines() if len(line) > 79]
    assert [line for line in wide if not line.startswith("  next: ")] == []  # it names the store
    assert text == (
        f"""\
40 PCs: 37 current, 2 failing, 1 missing
HOSTS                     SYSTEM    STATE    REACHED  NOW  DRIFT
pc[07,19]                 debian12  failing  yes
pc[01-06,08-18,20-38,40]  debian12  current  yes      yes  1

missing  pc39
  has never reported, and is not enrolled
  next: allie store enrol --scan pc39 --store {store}

failing  pc[07,19] (debian12)
  20packages exit 3 for 2 h
  | a
  | no room
  next: clush -bw 'pc[07,19]' allie run-conf 20packages
"""
    )


def test_a_fleet_with_nothing_wrong_is_three_lines(store: Path) -> None:
    code, text, _ = allie(store, "pc[01-06]")
    assert (code, len(text.splitlines())) == (0, 3)
    assert "6 of 40 PCs: 6 current" in text


SELECTED = [
    (("--failing",), "pc[07,19]"),
    (("--state", "failing"), "pc[07,19]"),
    (("--missing",), "pc39"),
    (("--stale",), ""),
    (("--drift",), "pc12"),
    (("pc[01-08]", "--failing"), "pc07"),
    (("pc[01-02],pc04",), "pc[01-02,04]"),
    (("pc3*",), "pc[30-39]"),
    (("PC07",), "pc07"),
    (("--class", "odd"), "pc[01,03,05]"),
    (("--class", "odd", "--class", "globs", "pc0[1-4]"), "pc[01,03]"),
    (("--system", "debian12", "--missing"), ""),
    (("--failing", "--missing"), ""),
]


@pytest.mark.parametrize(("words", "names"), SELECTED)
def test_names(store: Path, words: tuple[str, ...], names: str) -> None:
    assert allie(store, "--names", *words) == (0, f"{names}\n" if names else "", "")


SLIPS = [
    (("pc99",), "pc99: no such host is expected", "did you mean pc09?"),
    (("lab*",), "lab*: no such host", "allie fleet"),
    (("--class", "lap"), "no PC has a class lap", "did you mean lab?"),
    (("--system", "x"), "no PC has a system x", "there are: debian12"),
    (("--script", "20package"), "no PC has a script 20package", "did you mean 20packages?"),
    (("--state", "bad"), "--state 'bad' is none of missing", ""),
]


@pytest.mark.parametrize(("words", "message", "hint"), SLIPS)
def test_a_slip(store: Path, words: tuple[str, ...], message: str, hint: str) -> None:
    code, text, complaint = allie(store, *words)
    assert (code, text) == (64, "")
    assert message in complaint
    assert hint in complaint


def test_one_pc(store: Path) -> None:
    code, text, _ = allie(store, "pc07")
    assert code == 1
    for words in (
        "pc07: failing, 20packages exit 3",
        "next: ssh pc07 allie run-conf 20packages",
        "| no room",
        "classes      globs, lab",
        "50.0 of 100.0 GiB left, 50 %",
    ):
        assert words in text
    assert "/etc/a (changed)" in allie(store, "pc12")[1]
    assert allie(store, "pc01")[0] == 0


def test_of_a_script_is_told_what_its_state_does_not_say(tmp_path: Path) -> None:
    place = tmp_path / "store"
    stores.begin(str(place), "overlays/common")
    since = time.time() - 7260
    scripts = (
        Verdict("50once", "satisfied", "satisfied", since),
        Verdict("60again", "satisfied", "satisfied; due again in 3 h", since),
        Verdict("70fails", "failing", "exit 3", since, 3),
    )
    report = QUIET._replace(scripts=scripts)
    arrives(place, "pc07", text_of(report, host="pc07", sent=time.time()))
    told = [" ".join(line.split()) for line in allie(place, "pc07")[1].splitlines()]
    assert told[told.index("scripts") + 1 :] == [
        "50once satisfied for 2 h",
        "60again satisfied for 2 h due again in 3 h",
        "70fails failing for 2 h exit 3",
    ]


def test_those_that_were_asked_for_are_none(store: Path) -> None:
    assert allie(store, "--stale") == (0, "none of 40 PCs\n", "")


def test_one_script(store: Path) -> None:
    code, text, _ = allie(store, "--script", "20packages")
    assert code == 1
    assert [line.split()[:1] for line in text.splitlines()[:2]] == [["STATE"], ["failing"]]
    assert "pc[07,19]" in text
    assert allie(store, "--script", "50x", "pc01")[0] == 0


def test_json(store: Path) -> None:
    code, text, _ = allie(store, "--json")
    value: Any = json.loads(text)
    assert (code, value["format"]) == (1, 1)
    assert value["counts"]["failing"] == 2
    by_host = {pc["host"]: pc for pc in value["pcs"]}
    assert len(by_host) == 40
    assert by_host["pc07"]["systems"][0]["scripts"][0]["last"] == "a\nno room"
    assert by_host["pc12"]["systems"][0]["drift"] == ["etc/a"]
    assert by_host["pc39"]["todo"].startswith("allie store enrol --scan pc39")
    assert len(text.splitlines()) == 42
    alone = json.loads(allie(store, "--json", "pc07")[1])["pcs"]
    assert [{**pc, "since": 0} for pc in alone] == [{**by_host["pc07"], "since": 0}]


def test_nobody_yet(tmp_path: Path) -> None:
    place = tmp_path / "store"
    stores.begin(str(place), "overlays/common")
    code, text, _ = allie(place)
    assert code == 0
    assert "allie store enrol" in text


def test_without_any_report_it_says_what_makes_them_come(tmp_path: Path) -> None:
    place = tmp_path / "store"
    stores.begin(str(place), "overlays/common")
    make_tree(place / "overlays/common", {"etc/allie/classes": "lab: pc[1-2]\n"})
    code, text, _ = allie(place)
    assert code == 1
    assert "allie store setup" in text


def test_a_change_on_its_way(tmp_path: Path) -> None:
    place = tmp_path / "store"
    stores.begin(str(place), "overlays/common")
    old = QUIET._replace(contact=Contact("rsync://s", 3, time.time() - 7200))
    arrives(place, "pc01", text_of(old, host="pc01", sent=time.time()))
    arrives(place, "pc02", text_of(LATER, host="pc02", sent=time.time()))
    assert allie(place)[1].splitlines()[2:] == [
        "pc01   debian12  current  not yet",
        "pc02   debian12  current  yes      yes",
    ]


def test_what_is_its_own_sets_no_pc_apart(tmp_path: Path) -> None:
    """Each was enrolled, and has its private directory, at another time; all miss one change."""
    place = tmp_path / "store"
    stores.begin(str(place), "overlays/common")
    time.sleep(0.02)
    for number in range(1, 5):
        (place / f"private/pc{number:02}").mkdir(parents=True)
        time.sleep(0.02)  # the clock of ctimes is coarse
    contact = Contact("rsync://s", 3, time.time())
    report = QUIET._replace(contact=contact, own_door=contact._replace(server="ssh://s"))
    time.sleep(0.02)
    make_tree(place / "overlays/common", {"etc/motd": "new\n"})
    for number in range(1, 5):
        host = f"pc{number:02}"
        arrives(place, host, text_of(report, host=host, sent=time.time()))
    (line,) = allie(place)[1].splitlines()[2:]
    assert line == "pc[01-04]  debian12  current  not yet"


def test_a_fix_that_waits_is_seen(tmp_path: Path) -> None:
    """With a command that does what it shows, whatever the path is called, and the store."""
    place = tmp_path / "our store"
    stores.begin(str(place), "overlays/common")
    make_tree(place / "overlays/common", {"etc/a;id": "old\n"})
    base = digest.of(b"old\n")
    fixes = [HandFix("etc/a;id", "common", "etc/a;id", base, b"new\n")]
    text = text_of(
        LATER, host="pc01", sent=time.time(), offers=[hand_fix.to_json(each) for each in fixes]
    )
    arrives(place, "pc01", text)
    said = allie(place)[1]
    assert "offered  pc01\n" in said
    assert f"  next: allie fleet adopt --store '{place}'\n" in said
    said = allie(place, "pc01")[1]
    command = f"allie fleet adopt pc01 '/etc/a;id' --store '{place}'\n"
    assert command in said
    assert " ago: \n" not in said and ": \n" not in said
    assert os.geteuid() or command in allie(place, "adopt")[1]
    (place / "overlays/common/etc/a;id").write_text("new\n")  # taken; it has not reported since
    assert "offer" not in allie(place)[1] + allie(place, "pc01")[1]
    assert json.loads(allie(place, "--json")[1])["pcs"][0]["offers"] == []
    assert os.geteuid() or allie(place, "adopt")[1] == "nothing is offered\n"
    assert os.geteuid() or allie(place, "adopt", "pc01")[1].startswith("taken ")


def saying(text: str) -> list[Report]:
    """Reports with a text in each of their fields that hold one."""
    verdict = Verdict(text, "failing", text, time.time(), 1, last=text)
    door = Contact(text, 1, time.time(), text, time.time(), True)
    return [
        QUIET._replace(system=text, image=text, version=text, classes=(text,), contact=door),
        QUIET._replace(system="b", scripts=(verdict,), paused=text, notes=(text,), own_door=door),
        QUIET._replace(
            system="c",
            applied=(Applied(7, text, 1, {"drift": [text], text: [text]}, {"drift": 1}),),
        ),
    ]


HOSTILE = "\x1b]0;x\x07\x1b[31m\u202e<img src=x onerror=alert(1)>\r\n\udc80'$(reboot)`id`;"


@pytest.mark.parametrize("words", [(), ("pc07",), ("--json",), ("--drift",), ("--names",)])
def test_nothing_in_a_report_drives_a_terminal(tmp_path: Path, words: tuple[str, ...]) -> None:
    place = tmp_path / "store"
    stores.begin(str(place), "overlays/common")
    arrives(place, "pc07", text_of(*saying(HOSTILE), host=HOSTILE))
    arrives(place, "pc08", text_of(QUIET, host="pc08"))
    code, text, complaints = allie(place, *words)
    assert code == (0 if "--names" in words else 1)
    assert all(line.isprintable() for line in f"{text}{complaints}".split("\n"))
    if words in ((), ("--drift",)):
        assert all(len(line) < 80 for line in text.splitlines() if line.startswith(("pc0", "H")))
