"""The views of the fleet over time, by the command line: what is printed, kept, and not lost."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from allie.cli import fleet_watch, main
from allie.server import systemd
from allie.server.fleet import fleet as fleets
from allie.server.fleet.fleet import Fleet
from allie.server.history import journal, news, timer
from allie.server.site import write as site
from tests.server.test_fleet_history import changed, failing, make_store, report
from tests.worlds.one_pc import tmpfs
from tests.worlds.pc import ENVIRONMENT
from tests.worlds.toy import File, make_tree

pytestmark = pytest.mark.root
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    make_store(tmp_path / "store")
    for host in ("pc01", "pc02", "pc03", "srv"):
        send(tmp_path / "store", host, report())
    return tmp_path / "store"


def send(store: Path, host: str, text: bytes) -> None:
    """A report comes, later by the disk's clock than the one before: that has a grain."""
    report = store / "inbox" / host / "report"
    report.parent.mkdir(exist_ok=True)
    before = report.stat().st_mtime if report.exists() else 0.0
    report.write_bytes(text)
    while report.stat().st_mtime == before:
        report.write_bytes(text)


@pytest.fixture
def run(store: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """`allie fleet …` of that store: its exit status, and all that it printed."""

    def run_it(*words: str) -> tuple[int, str]:
        code = main.main(["--store", str(store), "fleet", *words])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run_it


def test_news_are_told_once(store: Path, run: Run) -> None:
    assert run("--changed-since-last") == (0, "")
    for host in ("pc01", "pc02", "pc03"):
        send(store, host, report(2, **failing("20packages", 100)))
    send(store, "srv", report(2, **failing("20packages", 1)))
    code, said = run("--changed-since-last")
    assert code == 1
    assert said.splitlines()[0] == "now failing: pc[01-03]: 20packages exit 100"
    assert "clush -bw 'pc[01-03]' allie run-conf 20packages" in said.splitlines()[1]
    assert said.splitlines()[2] == "now failing: srv: 20packages exit 1"
    assert run("--changed-since-last") == (0, "")
    send(store, "srv", report(3))
    assert run("--changed-since-last") == (0, "no longer failing: srv: 20packages exit 1\n")
    send(store, "srv", report(4, **failing("30x")))
    code, said = run("--changed-since-last", "--json")
    assert code == 1 and [each["hosts"] for each in json.loads(said)] == [["srv"]]


def test_each_who_asks_by_a_name_is_told(store: Path, run: Run) -> None:
    send(store, "srv", report(2, **failing("30x")))
    for who in ("", "=mail", "=chat.lab-1"):
        assert run(f"--changed-since-last{who}")[0] == 1
        assert run(f"--changed-since-last{who}") == (0, "")
    for name in ("", "../x", "a/b", "-", "A", "a b", "x" * 300):
        code, said = run(f"--changed-since-last={name}")
        assert (code, "is no name of one who asks" in said) == (64, True), name
    for number in range(news.MOST_ASKERS - 2):
        assert run(f"--changed-since-last=n{number}")[0] == 1
    before = sorted(os.listdir(store / "fleet"))
    code, said = run("--changed-since-last=more")
    assert code == 64 and "16 ask already: chat.lab-1, mail, n0" in said
    assert sorted(os.listdir(store / "fleet")) == before
    assert run("--changed-since-last=mail") == (0, "")


@pytest.mark.parametrize("to", ["/dev/full", "closed pipe"])
def test_news_that_nobody_got_come_again(store: Path, to: str) -> None:
    send(store, "srv", report(2, **failing("30x")))
    argv = [sys.executable, "-m", "allie.cli.main", "--store", str(store), "fleet"]
    argv.append("--changed-since-last")
    if to == "/dev/full":
        with Path(to).open("wb") as full:
            done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, env=ENVIRONMENT)
        assert done.returncode and b"not all of the output could be written" in done.stderr
    else:
        read_end, write_end = os.pipe()
        os.close(read_end)
        subprocess.run(argv, stdout=write_end, stderr=subprocess.PIPE, env=ENVIRONMENT)
        os.close(write_end)
    done = subprocess.run(argv, capture_output=True, env=ENVIRONMENT)
    assert b"now failing: srv: 30x exit" in done.stdout
    assert subprocess.run(argv, capture_output=True, env=ENVIRONMENT).stdout == b""


def test_the_log_folds_and_is_bounded(store: Path, run: Run) -> None:
    assert run("--log") == (0, "")
    for host in ("pc01", "pc02", "pc03"):
        send(store, host, report(2, **changed(2, changed=["etc/motd"])))
    code, said = run("--log")
    assert code == 0
    assert said.split(maxsplit=2)[2:] == ["pc[01-03]: /etc/motd changed\n"]
    assert len(json.loads(run("--log", "--json")[1])) == 3
    for tick in range(3, 60):
        send(store, "pc01", report(tick, **changed(tick, changed=[f"etc/f{tick}"])))
        fleet_watch._note(fleets.load(str(store), time.time()))
    lines = run("--log")[1].splitlines()
    assert len(lines) == 41 and lines[0].endswith("pc01: /etc/f59 changed")
    assert "more: allie fleet --log --since" in lines[-1]
    assert len(run("--log", "--since", "2d")[1].splitlines()) == 58
    assert (
        run("--log", "pc[02-03]", "srv")[1].splitlines()[0].endswith("pc[02-03]: /etc/motd changed")
    )
    assert run("--log", "/etc/f7")[1].splitlines()[0].endswith("pc01: /etc/f7 changed")


def test_many_hosts_leave_the_words_in_sight(store: Path, run: Run) -> None:
    hosts = [f"{name}-{at}" for name in ("lab", "office", "hall", "library") for at in (1, 3, 7, 9)]
    for host in hosts:
        send(store, host, report())
    run("--log")
    for host in hosts:
        send(store, host, report(2, **changed(2, changed=["etc/motd"]), **failing("30x")))
    lines = run("--changed-since-last")[1].splitlines()
    assert lines[0] == "now failing: 16 PCs: 30x exit 1"
    assert lines[1] == "    hall-[1,3,7,9],lab-[1,3,7,9],library-[1,3,7,9],office-[1,3,7,9]"
    assert any("16 PCs (hall-[1,3,7,9],lab-[" in line for line in run("--log")[1].splitlines())


def test_the_log_shows_nothing_that_drives_a_terminal(store: Path, run: Run) -> None:
    run("--log")
    send(store, "pc01", report(2, **changed(2, **{"\x1b]0;x\x07": ["etc/\x1b[31m\n\u202ex"]})))
    said = run("--log")[1]
    assert len(said.splitlines()) == 1 and said.rstrip("\n").isprintable(), said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--log", "--metrics", "x"), "--log and --metrics do not go together"),
        (("--since", "2d"), "--since is the log's"),
        (("--log", "--since", "soon"), "no span of time"),
        (("--log", "--since", "7"), "no span of time"),
        (("--log", "/etc", "pc01"), "of one path at a time"),
        (("--metrics", "x", "pc01"), "--metrics is of all hosts"),
        (("--metrics", "x"), "reads files called *.prom alone"),
        (("--log", "--failing"), "--failing does not narrow --log"),
        (("--log", "--class", "lab"), "--class does not narrow --log"),
        (("--site", "x", "--state", "stale"), "--state does not narrow --site"),
        (("--log", "pc77"), "no such host is expected"),
        (("--every", "5min"), "--every is the timer's"),
        (("--remove",), "--remove is the timer's"),
        (("--timer",), "what is the timer to make?"),
        (("--timer", "--remove", "--site", "x"), "does nothing else"),
        (("--site", "x", "--json"), "prints no JSON"),
        (("--timer", "--metrics", "/tmp/x.prom"), "the service has a /tmp of its own"),
    ],
)
def test_what_makes_no_sense(run: Run, words: tuple[str, ...], said: str) -> None:
    code, text = run(*words)
    assert code == 64 and said in text and "Traceback" not in text


def test_metrics_are_a_file_for_all(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "allie.prom"
    assert run("--metrics", str(path)) == (0, "")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert 'allie_fleet_pcs{state="current"} 4\n' in path.read_text()
    code, said = run("--metrics", str(tmp_path / "none" / "allie.prom"))
    assert code == 2 and f"\n       install -d {tmp_path}/none\n" in said
    code, said = run("--site", str(tmp_path / "none" / "fleet"))
    assert code == 2 and f"\n       install -d {tmp_path}/none\n" in said


def test_without_a_log_the_views_go_on(store: Path, tmp_path: Path, run: Run) -> None:
    (store / "fleet").write_text("what an administrator put there")
    code, said = run("--metrics", str(tmp_path / "allie.prom"))
    assert code == 1 and "the fleet's log was not written" in said
    assert (tmp_path / "allie.prom").exists()


def test_on_a_disk_that_cannot_be_written_the_views_go_on(
    store: Path, tmp_path: Path, run: Run
) -> None:
    (store / "fleet").mkdir()
    with tmpfs(store / "fleet", "size=1m,mode=700"):
        run("--log")
        send(store, "pc01", report(2, **changed(2, changed=["etc/motd"])))
        run("--log")
        send(store, "srv", report(2, **failing("30x")))
        subprocess.run(["mount", "-o", "remount,ro", store / "fleet"], check=True)
        code, said = run("--log")
        assert code == 1 and "pc01: /etc/motd changed\n" in said
        assert "the fleet's log was not written: " in said and "Read-only file system" in said
        assert run("--metrics", str(tmp_path / "allie.prom"))[0] == 1
        for _ in range(2):
            code, said = run("--changed-since-last")
            assert code == 2 and "now failing: srv: 30x exit 1\n" in said
        subprocess.run(["mount", "-o", "remount,rw", store / "fleet"], check=True)
        assert run("--changed-since-last")[0] == 1
        assert run("--changed-since-last") == (0, "")
        assert "srv: current → failing: 30x exit 1" in run("--log")[1]


def test_a_log_that_is_in_use_is_waited_for(
    store: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_PATIENCE", 0)
    with journal.opened(str(store)):
        code, said = run("--metrics", str(tmp_path / "allie.prom"))
        assert code == 1 and "another `allie fleet` is at work" in said
        assert run("--changed-since-last")[0] == 75
    assert run("--metrics", str(tmp_path / "allie.prom"))[0] == 0


def test_several_are_one_look(
    store: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[str] = []
    inner = fleets.load

    def counted(store: str, now: float) -> Fleet:
        loads.append(store)
        return inner(store, now)

    def written(fleet: Fleet, place: str) -> list[str]:
        shown.append(fleet)
        return [place]

    shown: list[Fleet] = []
    monkeypatch.setattr(fleets, "load", counted)
    monkeypatch.setattr(site, "write", written)
    send(store, "srv", report(2, **failing("30x")))
    words = ("--site", str(tmp_path / "site"), "--metrics", str(tmp_path / "m.prom"))
    code, said = run(*words, "--changed-since-last")
    assert code == 1 and said.startswith("now failing: srv")
    assert len(loads) == 1 and len(shown) == 1


def test_the_timer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs, units = tmp_path / "bin", tmp_path / "units"
    make_tree(programs, {"systemctl": File(f'#!/bin/sh\necho "$@" >>{tmp_path}/log\n', 0o755)})
    units.mkdir()
    monkeypatch.setattr(systemd, "own_program", lambda: sys.executable)
    monkeypatch.setenv("ALLIE_PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setattr(systemd, "DIRECTORY", str(units))
    monkeypatch.setattr(systemd, "is_there", lambda: True)
    for place in ("/srv/a $b", "/srv/m"):
        chore = timer.chore("/srv/allie", place, "/srv/m/allie.prom")
        assert len(systemd.install(chore, "10min")) == (2 if place == "/srv/a $b" else 1)
        assert systemd.install(chore, "10min") == []
        text = (units / "allie-fleet.service").read_text()
        shown = f'"{place}"' if " " in place else place
        word = shown.replace("$", "$$")  # which begins a variable in a command alone
        assert f"fleet --store /srv/allie --site {word} --metrics /srv/m/allie.prom\n" in text
        assert f"\nReadWritePaths=/srv/allie/fleet {shown} /srv/m\n" in text
    assert "OnUnitInactiveSec=10min\n" in (units / "allie-fleet.timer").read_text()
    if shutil.which("systemd-analyze"):
        argv = ["systemd-analyze", "verify", *map(str, units.iterdir())]
        said = subprocess.run(argv, capture_output=True, text=True, check=False).stderr
        assert not [line for line in said.splitlines() if "allie-fleet" in line], said
    assert len(systemd.uninstall(timer.NAME)) == 2 and systemd.uninstall(timer.NAME) == []
    log = (tmp_path / "log").read_text()
    assert log.count("disable --now allie-fleet.timer") == 1
