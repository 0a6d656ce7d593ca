"""`allie run-conf` by ssh and without a terminal, as clush asks many: it says what is not well.

Equal troubles are equal answers, whatever else the PCs went through: `clush -b` shows them once.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from allie.server import store
from tests.tick.site import Site, TickPC, script
from tests.worlds.busybox import busybox_root
from tests.worlds.pc import Result
from tests.worlds.store import served
from tests.worlds.toy import Tree

pytestmark = [pytest.mark.real, pytest.mark.root]

BY_SSH = {"SSH_CONNECTION": "10.0.0.1 5 10.0.0.2 22"}
BROKEN: Tree = {
    "root/conf/60broken": script("echo one", "echo 'no such disk \x1b[2J' >&2", "exit 3")
}
SAID = """\
60broken: failing, exit 3
    one
    no such disk \\x1b[2J
  all it said: /var/log/allie/60broken.log; once mended: allie run-conf 60broken
"""


def ask(pc: TickPC, *scripts: str) -> Result:
    return pc.run("run-conf", *scripts, env=BY_SSH)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path, {"etc/motd": "hello\n"})
    made.join("--no-timer")
    return made


def test_where_all_is_well_nothing_is_said(site: Site) -> None:
    assert ask(site.pc) == (0, "", "")
    waits = script("echo not yet", "exit 75")
    site.overlay({"etc/motd": "hello, all\n", "root/conf/61waits": waits})
    assert ask(site.pc) == (0, "", "")
    assert site.pc.read("etc/motd") == "hello, all\n"


def test_which_script_how_it_ended_and_what_to_do(site: Site) -> None:
    site.overlay(BROKEN)
    assert ask(site.pc) == (1, SAID, "")
    assert site.pc.run("run-conf") == (1, "", ""), "cron has heard of it"
    assert ask(site.pc) == (1, SAID, "")
    named = ask(site.pc, "60broken")
    assert (named.rc, named.err) == (1, "")
    assert named.out.splitlines()[-1] == "60broken: failing, exit 3"
    assert named.out.count("one") == 1, "it was shown as it came"


def test_equal_troubles_are_equal_answers(site: Site, tmp_path: Path) -> None:
    """One has failed for long, and has seen other ticks than the other."""
    site.overlay(BROKEN)
    ask(site.pc)
    other = TickPC(busybox_root(tmp_path / "other", {"etc/hostname": "srv1\n"}))
    other.run("join", str(site.store), "--no-timer")
    for pc in (site.pc, other):
        pc.put({"etc/odd/mine": "a file of the owner's\n"})
    report = site.pc.path("var/lib/allie/report")
    value = json.loads(report.read_text())
    for each in value["scripts"]:
        each["since"] -= 3 * 24 * 3600
    report.write_text(json.dumps(value))
    assert "failing    for 3 d" in site.pc.run("status").out
    site.overlay({"etc/odd": "the store's\n"})
    answers = [ask(site.pc), ask(other)]
    assert answers[0] == answers[1]
    assert answers[0].rc == 1
    assert answers[0].out.startswith("00overlay: failing, exit 1\n    left as it is: /etc/odd: ")
    assert answers[0].out.endswith(SAID)


def test_a_store_that_is_away_is_said_and_is_no_failure(tmp_path: Path) -> None:
    pc = TickPC(busybox_root(tmp_path / "pc", {"etc/hostname": "pc07\n"}))
    store.init(str(tmp_path / "store"))
    with served(tmp_path / "store") as server:
        pc.run("join", server.url, "--no-timer").ok()
        server.stop()
        first, again = ask(pc), ask(pc)
    assert first == again, "with no word of how long it has been away"
    assert (first.rc, first.err) == (0, "")
    assert first.out.startswith(f"store: {server.url} does not answer: ")
    assert first.out.endswith("; what came before stays in force\n")


def test_a_paused_pc_says_that_nothing_was_changed(site: Site) -> None:
    site.pc.run("pause", "exam").ok()
    site.overlay({"etc/motd": "not now\n"})
    said = ask(site.pc)
    assert said == (0, "paused: exam; nothing was changed; `allie resume` ends it\n", "")
    assert site.pc.read("etc/motd") == "hello\n"
