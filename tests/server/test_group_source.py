"""ClusterShell asks for the groups of a store's PCs, as the installed file has it ask.

Groups may be empty; nothing that is typed, or that a PC says of itself, gets into a shell.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from allie.server import store as stores
from allie.server.fleet import fleet as fleets
from allie.server.views import groups
from tests.worlds import fleets as worlds
from tests.worlds.pc import ENVIRONMENT, Result, ended

TOP = Path(__file__).parents[2]
SOURCE = TOP / "packaging/clustershell/allie.conf"
NODESET = "/usr/bin/nodeset"  # Debian's, with Debian's Python
RUN = f'#!/bin/sh\nPYTHONPATH={TOP}/src exec {sys.executable} -m allie.cli.main "$@"\n'
MAIN = "[Main]\ndefault: allie\nconfdir: $CFGDIR/groups.conf.d\n"
# In place of allie: what it was called with, and what it could read
RECORDER = '#!/bin/sh\n{ echo "$*"; cat; echo ----; } >>"$SEEN"\n'
ASK = """\
import sys
from ClusterShell.NodeSet import NodeSet, grouplist
for name in sys.argv[1:]:
    for ask in (lambda: NodeSet("@allie:" + name), lambda: NodeSet(name).groups("allie")):
        try:
            ask()
        except Exception:
            pass  # it is no name
"""
HOSTILE = (
    "$(touch PWNED)",
    "`touch PWNED`",
    "';touch PWNED;'",
    '";touch PWNED;"',
    "x\nEND\ntouch PWNED",
    "x\nEND;\ntouch PWNED\n",
    "x; touch PWNED",
    "x|touch PWNED",
    "--help",
    "-",
    "$GROUP$CFGDIR",
    "a/../b",
    "\x1b]0;title\x07",
    "x" * 100_000,
)

pytestmark = pytest.mark.skipif(
    not (shutil.which(NODESET) and Path("/etc/clustershell/groups.conf").exists()),
    reason="needs Debian's clustershell",
)


class Server:
    """A store with reports, and a nodeset that has ALLiE's group source."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.store = top / "store"
        stores.init(str(self.store))
        conf = top / "clustershell"
        (conf / "groups.conf.d").mkdir(parents=True)
        (conf / "groups.conf").write_text(
            "[Main]\ndefault: allie\nconfdir: $CFGDIR/groups.conf.d\n"
        )
        shutil.copy(SOURCE, conf / "groups.conf.d")
        (top / "bin").mkdir()
        (top / "bin/allie").write_text(RUN)
        (top / "bin/allie").chmod(0o755)
        self.env = {
            **ENVIRONMENT,
            "PATH": f"{top}/bin:{ENVIRONMENT['PATH']}",
            "CLUSTERSHELL_CFGDIR": str(conf),
            "ALLIE_STORE": str(self.store),
            "NO_COLOR": "1",
        }

    def nodeset(self, *words: str) -> Result:
        return ended([NODESET, *words], self.env, 60)

    def allie(self, *words: str) -> Result:
        return ended([f"{self.top}/bin/allie", "fleet", *words], self.env, 60)

    def hosts(self, group: str) -> set[str]:
        """The hosts of a group, by ClusterShell."""
        return set(self.nodeset("-e", f"@allie:{group}").ok().out.split())


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


@pytest.fixture
def full(server: Server) -> Server:
    """60 PCs in all states but those that come with time."""
    worlds.put(server.store, worlds.generated(60, time.time(), seed=7))
    return server


def test_clustershell_has_the_groups_of_the_fleet(full: Server) -> None:
    pcs = fleets.load(str(full.store), time.time()).pcs
    found = groups.members(pcs)
    assert found["failing"], "the seed has some"
    assert len(found["class.physics"]) > 1
    listed = full.nodeset("-l", "-s", "allie").ok().out.split()
    assert listed == [f"@allie:{name}" for name in sorted(found)]
    for group in ("failing", "drift", "class.physics"):
        assert full.hosts(group) == set(found[group]), group
    assert full.allie("--group", "failing").ok().out.split() == found["failing"]
    named = full.allie("--failing", "--names").ok().out.strip()
    assert set(full.nodeset("-e", named).ok().out.split()) == set(found["failing"])
    assert full.nodeset("-c", "@*").ok().out == "60\n", "the default source"
    one = found["failing"][0]
    assert set(full.nodeset("-l", "-s", "allie", one).ok().out.split()) == {
        f"@allie:{name}" for name, hosts in found.items() if one in hosts
    }
    assert full.hosts("all!@allie:failing") == set(found["all"]) - set(found["failing"])
    # As docs/howto/many-at-once.md has it; a comma would add the second group again
    without = set(found["all"]) - set(found["off"]) - set(found["stale"])
    assert full.hosts("all!@allie:off!@allie:stale") == without


def test_an_empty_group_is_no_error(server: Server) -> None:
    for group in ("all", "failing"):
        assert server.nodeset("-f", f"@allie:{group}") == (0, "\n", "")
    assert server.nodeset("-l", "-s", "allie", "pc07") == (0, "", "")


def test_a_group_that_there_is_not_is_said(full: Server) -> None:
    done = full.nodeset("-f", "@allie:failling")
    assert done.rc != 0
    assert done.out == ""
    assert "there is no group failling of PCs" in done.err
    assert "did you mean failing?" in done.err


def test_what_is_typed_gets_into_no_shell(server: Server) -> None:
    (server.top / "bin/allie").write_text(RECORDER)
    seen = server.top / "seen"
    ended(["/usr/bin/python3", "-c", ASK, *HOSTILE], {**server.env, "SEEN": str(seen)}, 60).ok()
    asked = seen.read_text().split("----\n")[:-1]
    assert {each.partition("\n")[0] for each in asked} <= {
        "fleet --group -",
        "fleet --groups -",
        "fleet --groups",
    }
    read = {each.partition("\n")[2][:-1] for each in asked}
    assert {"$(touch PWNED)", "';touch PWNED;'", "x; touch PWNED", "--help", "x" * 100_000} <= read
    assert not [path for path in server.top.rglob("*") if "PWNED" in path.name]


def test_what_a_pc_says_of_itself_makes_no_odd_group(full: Server) -> None:
    before = full.nodeset("-l", "-s", "allie").ok().out
    inbox = full.store / "inbox/pc00001/report"
    value = json.loads(inbox.read_text())
    value["systems"] = [
        {**value["systems"][0], "system": name[:200], "classes": [name[:200], "good.one"]}
        for name in (*HOSTILE, "a b", "a,b", "@all", "pc[1-9]", "x*", "ä")
    ]
    inbox.write_text(json.dumps(value))
    new = set(full.nodeset("-l", "-s", "allie").ok().out.split()) - set(before.split())
    plain = {each for each in new if each.replace(".", "").removeprefix("@allie:").isalnum()}
    assert new == plain, "each is a plain word"
    assert full.hosts("all") == {each.host for each in worlds.generated(60, time.time(), seed=7)}
    assert not [path for path in full.top.rglob("*") if "PWNED" in path.name]


def test_the_installed_file_calls_the_installed_program(tmp_path: Path) -> None:
    env = {**os.environ, "DESTDIR": str(tmp_path), "PREFIX": "/usr"}
    subprocess.run([TOP / "tools/install"], env=env, check=True, capture_output=True)
    text = (tmp_path / "etc/clustershell/groups.conf.d/allie.conf").read_text()
    calls = [line.split(": ")[1].split()[:2] for line in text.splitlines() if " fleet --" in line]
    assert calls == [["/usr/bin/allie", "fleet"]] * 4
    assert text.replace("/usr/bin/allie", "allie") == SOURCE.read_text()
