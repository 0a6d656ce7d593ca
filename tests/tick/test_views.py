"""What people and programs are shown: status, plan, why, log; text, and JSON of the same values."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from allie.cli import options
from allie.machine.files import lock
from allie.machine.roots import open_system
from tests.tick.site import Site, script
from tests.worlds.store import served
from tests.worlds.toy import File

pytestmark = [pytest.mark.root, pytest.mark.real]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, {"etc/motd": "common\n"})


def _lines(text: str) -> dict[str, str]:
    """The line of each script in `status`."""
    found = (re.match(r"  (\d\d\S+) +(.*)", line) for line in text.splitlines())
    return {each[1]: each[2] for each in found if each}


def test_status_of_each_state(site: Site) -> None:
    site.overlay(
        {
            "root/conf/20satisfied": script("true"),
            "root/conf/21word": script("exit 1"),
            "root/conf/30weekly": script("# allie: every 7d", "true"),
            "root/conf/31always": script("# allie: every tick", "true"),
            "root/conf/40waiting": script("echo not yet; exit 75"),
            "root/conf/50failing": script("echo first; echo no such printer >&2; exit 4"),
            "root/conf/51hang": script("# allie: timeout 1s", "sleep 50"),
            "root/conf/60test": script("true", mode=0o644),
        }
    )
    site.join(rc=1)
    site.pc.put({"root/done/21word": "done\n"})
    site.pc.put({"root/conf/70new": script("true")})
    shown = site.pc.run("status")
    assert shown.rc == 1, "something needs attention"
    assert "satisfied: 20satisfied 30weekly 31always" in shown.out, "what the last tick did"
    lines = _lines(shown.out)
    wanted = {
        "01overact": r"satisfied +for .*exit 0, every tick",
        "00overlay": r"satisfied +for .*exit 0, every tick",
        "20satisfied": r"satisfied +for \d+ s",
        "21word": r"satisfied +for",
        "30weekly": r"satisfied +for .*due again in 7 d",
        "31always": r"satisfied +for .*every tick",
        "40waiting": r"waiting +for \d+ s \(exit 75\)",
        "50failing": r"failing +for \d+ s \(exit 4\)",
        "51hang": r"failing +for .*ended after 1 s .*timeout",
        "60test": r"test +not executable: runs only by name",
        "70new": r"due +has not been satisfied yet",
        "98systems": r"satisfied +for .*exit 0, every tick",
        "99report": r"satisfied +for .*exit 0, every tick",
    }
    for name, pattern in wanted.items():
        assert re.match(pattern, lines[name]), (name, lines[name])
    assert "| no such printer" in shown.out
    assert "| not yet" in shown.out
    states = {name: each["state"] for name, each in site.pc.scripts().items()}
    assert states == {name: pattern.split()[0] for name, pattern in wanted.items()}
    assert all(each["why"] for each in site.pc.scripts().values())


def test_status_of_the_store(site: Site) -> None:
    with served(site.store) as server:
        site.pc.run("join", server.url).ok()
        assert f"{server.url}, generation 1" in site.pc.run("status").ok().out
        server.stop()
        site.pc.tick()
        away = site.pc.run("status").ok()
        assert "does not answer" in away.out
        assert re.search(r"trouble for \d+ s", away.out)
        since = site.pc.status()["contact"]["since"]
        site.pc.tick()
        assert site.pc.status()["contact"]["since"] == since > 0
        server.start()
        site.pc.tick()
        assert "trouble" not in site.pc.run("status").ok().out
        assert site.pc.status()["contact"]["trouble"] == ""


def test_of_a_script_nothing_is_said_twice(site: Site) -> None:
    """`every tick` of one that is due at every tick, and did not run at the last."""
    site.join()
    site.pc.run("pause").ok()
    site.pc.tick()
    lines = site.pc.run("status").ok().out.splitlines()
    assert [line for line in lines if "98systems" in line and "every tick" in line]
    assert [line for line in lines if line.count("every tick") > 1] == []


def test_before_anything(site: Site) -> None:
    for verb in (["status"], ["plan"], ["log"], ["why", "/etc/motd"], ["run-conf"], ["undo"]):
        done = site.pc.run(*verb)
        assert done.rc == 2, verb
        assert "has not joined a store" in done.err
        assert "allie join" in done.err
        assert done.out == ""
    done = site.pc.run("status", "--root", "/nowhere")
    assert (done.rc, "not a directory" in done.err) == (2, True)
    site.join()
    (site.pc.path("/var/lib/allie/report")).unlink()
    for name in ("report", "history"):
        site.pc.path(f"/var/lib/allie/{name}").unlink(missing_ok=True)
    assert "no tick has run yet" in site.pc.run("status").ok().out
    assert site.pc.status()["scripts"][0]["state"] == "due"


def test_plan_is_what_the_next_tick_does(site: Site) -> None:
    site.overlay({"etc/issue": "default\n", "etc/issue##host.pc07": "mine\n", "etc/gone": "x\n"})
    site.join()
    quiet = site.pc.run("plan").ok()
    assert quiet.out.splitlines()[0] == "nothing to do"
    site.overlay({"etc/later": "of the store\n"})
    newer = site.pc.run("plan").ok().out.splitlines()
    assert (newer[0], newer[1].endswith(" (not asked)")) == ("nothing to do", True)
    (site.store / "overlays/common/etc/later").unlink()
    site.pc.put({"etc/issue": "edited\n", "etc/motd": "edited\n"})
    shown = site.pc.run("plan").ok().out
    assert re.search(r"write +/etc/issue  \(drift, from common/etc/issue##host.pc07\)", shown)
    assert re.search(r"write +/etc/motd  \(drift, from common/etc/motd\)", shown)
    plans = site.pc.run("plan", "--json").ok().json
    assert [each["part"] for each in plans] == ["overlay", "overact"]
    found = [change for each in plans for change in each["changes"]]
    assert {change["real"] for change in found} == {"etc/motd", "etc/issue"}
    assert {change["why"] for change in found} == {"drift"}
    assert site.pc.read("/etc/motd") == "edited\n", "it changes nothing"
    site.pc.tick()
    assert site.pc.run("plan").ok().out.splitlines()[0] == "nothing to do"
    site.pc.put({"root/conf/70new": script("exit 3"), "root/conf/71test": script("x", mode=0o644)})
    for _ in range(2):  # it is new, and then it fails
        first, after, *_ = site.pc.run("plan").ok().out.splitlines()
        assert re.fullmatch(r"run +70new +\(.+\)", first)
        assert after.startswith("store: ")
        site.pc.tick(1)


@pytest.mark.parametrize(
    ("cwd", "text", "path"),
    [
        ("etc", "motd", "etc/motd"),
        ("etc", "./ssh/../motd/", "etc/motd"),
        ("", "etc/motd", "etc/motd"),
        ("etc", "/etc/motd", "etc/motd"),
        ("etc", "//motd", "motd"),
        ("..", "etc/motd", "etc/motd"),
        ("..", "../../etc/motd", "etc/motd"),
        ("../pc-too", "etc/motd", "etc/motd"),
    ],
)
def test_a_path_is_read_from_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cwd: str, text: str, path: str
) -> None:
    root = tmp_path / "pc"
    for each in (root / "etc", tmp_path / "pc-too"):
        each.mkdir(parents=True)
    monkeypatch.chdir(root / cwd)
    assert options.path_of(open_system.open_system(str(root)), text) == path
    assert options.path_of(open_system.open_system(), text) == os.path.abspath(text).lstrip("/")


def test_why(site: Site) -> None:
    site.overlay({"etc/motd": "of the image\n", "etc/motd##class.lab": "lab\n"}, "busybox1")
    site.overlay({"lib/site/x": "x\n", "etc/tie##host.*": "", "etc/tie##host.*?": ""})
    site.join(rc=1)
    assert "/etc/tie is left as it is\n  " in site.pc.run("why", "/etc/tie").ok().out
    assert site.pc.run("log").ok().out.endswith(", 1 left as it is\n")
    shown = site.pc.run("why", "/etc/motd").ok().out
    assert shown.splitlines()[0] == "/etc/motd is busybox1/etc/motd"
    assert "not common/etc/motd" in shown
    assert "not busybox1/etc/motd##class.lab" in shown
    assert "as it was placed" in shown
    value = site.pc.run("why", "--json", "/etc/motd").ok().json
    assert value["winner"]["overlay"] == "busybox1"
    assert {each["spelling"] for each in value["losers"]} == {"etc/motd", "etc/motd##class.lab"}
    site.pc.put({"etc/motd": "edited\n"})
    assert "changed since it was placed" in site.pc.run("why", "etc/motd").ok().out
    site.pc.path("/etc/motd").unlink()
    assert "\n  gone since it was placed; " in site.pc.run("why", "/etc/motd").ok().out
    assert "is in no overlay" in site.pc.run("why", "/etc/passwd").ok().out
    for name in ("/lib/site/x", "/usr/lib/site/x"):
        shown = site.pc.run("why", name).ok().out
        assert "common/lib/site/x" in shown, name
        assert "as it was placed" in shown


def test_log(site: Site) -> None:
    site.overlay({"root/conf/50a": script("[ -e /go ] || exit 1")})
    site.join(rc=1)
    site.overlay({"etc/new": "x\n", "etc/motd": "second\n", "go": ""})
    site.pc.tick()
    site.pc.tick()
    site.pc.tick()
    lines = site.pc.run("log").ok().out.splitlines()
    assert len(lines) == 2, "ticks in which nothing happened are left out"
    assert re.match(r" +\d+  \d{4}-\d\d-\d\d \d\d:\d\d  ", lines[-1])
    assert "2 new" in lines[-1]
    assert "1 changed" in lines[-1]
    assert "failing: 50a" in lines[0]
    assert "/etc/motd" in site.pc.run("log", "--paths").ok().out
    assert len(site.pc.run("log", "-n", "1").ok().out.splitlines()) == 1
    assert site.pc.run("log", "-n", "0").ok().out == ""
    value = site.pc.run("log", "--json").ok().json
    assert value[-1]["applied"][0]["counts"]["changed"] == 1
    site.pc.path("/var/lib/allie/history").write_text("{cut short\n" + json.dumps(value[0]) + "\n")
    assert len(site.pc.run("log").ok().out.splitlines()) == 1


def test_paused(site: Site) -> None:
    site.join()
    site.overlay({"etc/motd": "second\n", "root/conf/50a": script("echo x >>/tmp/ran")})
    site.pc.put({"root/conf/51b": script("echo x >>/tmp/ran")})
    site.pc.run("pause", "--for", "3d", "the", "exam").ok()
    site.pc.tick()
    assert (site.pc.read("/etc/motd"), site.pc.count("/tmp/ran")) == ("common\n", 0)
    status = site.pc.run("status").out
    assert re.search(r"paused +the exam until \d{4}-\d\d-\d\d \d\d:\d\d;", status)
    assert "1 would be changed, 1 would be new" in status
    assert len(site.pc.run("log").out.splitlines()) == 1, "nothing was changed"
    assert "/etc/motd" in site.pc.run("plan").out
    site.pc.run("resume").ok()
    assert "  paused " not in site.pc.run("status").out
    site.pc.tick()
    assert (site.pc.read("/etc/motd"), site.pc.count("/tmp/ran")) == ("second\n", 2)
    assert site.pc.run("pause", "--for", "soon").rc == 64


def test_names_that_are_no_text(site: Site) -> None:
    """A terminal is not driven by a file's name, and JSON stays JSON."""
    odd = b"etc/a\x1b[31m\xff\nb"
    site.overlay({odd: "x\n"})
    site.pc.put({})
    site.join()
    site.pc.tick()
    for verb in (["log", "--paths"], ["plan"], ["status"]):
        text = site.pc.run(*verb).out
        assert "\x1b" not in text
        assert "\udcff" not in text
    assert any("a\x1b[31m" in path for path in _paths(site.pc.run("log", "--json").json))


def _paths(reports: list[dict[str, Any]]) -> list[str]:
    did = [part["did"] for report in reports for part in report["applied"]]
    return [path for each in did for paths in each.values() for path in paths]


def test_damaged_books_are_no_traceback(site: Site) -> None:
    """Half a file in each of the small books: every view says something, and a tick goes on."""
    site.join()
    site.pc.tick()
    state = site.pc.path("/var/lib/allie")
    for path in sorted(each for each in state.iterdir() if each.is_file()):
        whole = path.read_bytes()
        for damaged in (b"", b"[1, 2]", whole[: len(whole) // 2] + b"\xff"):
            path.write_bytes(damaged)
            for verb in (["status"], ["plan"], ["log", "--json"]):
                done = site.pc.run(*verb)
                assert "Traceback" not in done.err, (path.name, damaged, verb, done.err)
        done = site.pc.run("run-conf")
        assert "Traceback" not in done.err, (path.name, done.err)
        path.write_bytes(whole) if path.exists() else None
    shutil.rmtree(state / "mirror")
    site.pc.tick(rc=None)
    site.pc.tick()


def test_json_is_there_whatever_happened(site: Site) -> None:
    site.overlay({"root/conf/50a": File(b"#!/bin/sh\nprintf '\\377\\033'; exit 1\n", 0o755)})
    site.join(rc=1)
    for verb in (["status"], ["plan"], ["log"], ["why", "/x"]):
        assert site.pc.run(*verb, "--json").json is not None


def test_a_part_by_hand_is_in_the_log(site: Site) -> None:
    site.join()
    site.overlay({"etc/motd": "second\n", "etc/issue##host.pc07": "mine\n"})
    status = site.pc.status()
    site.pc.run("00overlay").ok()
    site.pc.run("01overact").ok()
    site.pc.run("00overlay").ok()
    lines = site.pc.run("log").ok().out.splitlines()
    assert len(lines) == 3, "a part that had nothing to do is left out"
    number = status["tick"]
    assert re.match(rf" +{number + 1}  \S+ \S+  00overlay by hand: 1 changed$", lines[1])
    assert re.match(rf" +{number + 2}  \S+ \S+  01overact by hand: 1 new$", lines[2])
    value = site.pc.run("log", "--json").json[-1]
    assert (value["verb"], value["host"], value["system"]) == ("01overact", "pc07", "busybox1")
    assert site.pc.status()["tick"] == number, "the last tick stays the status"


def test_a_part_that_a_script_runs_is_the_ticks(site: Site) -> None:
    site.join()
    site.overlay({"etc/motd": "second\n"})
    here = open_system.open_system(str(site.pc.root))
    with lock.held(here, "run-conf"):
        inside = lock.pass_on(here)
        env = {**site.pc.env, lock.INHERITED: str(inside)}
        subprocess.run(site.pc.argv("00overlay"), env=env, pass_fds=[inside], check=True)
        os.close(inside)
    assert site.pc.read("/etc/motd") == "second\n"
    assert "by hand" not in site.pc.run("log").ok().out


def test_a_named_script_does_not_show_an_earlier_change_again(site: Site) -> None:
    site.overlay({"root/conf/50a": script("true")})
    site.join()
    site.pc.run("run-conf", "50a").ok()
    lines = site.pc.run("log", "--paths").ok().out.splitlines()
    assert "satisfied: 50a" in lines[-1]
    assert "new" not in lines[-1]
