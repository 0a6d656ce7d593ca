"""A hand fix on its way: from a PC, by the ssh door, into the overlay, and back to the PC.

docs/internals/rules.md, "A hand fix is offered by hand".
"""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tick.site import Site, script
from tests.worlds.doors import INBOX_UID, Doors, can_be_opened
from tests.worlds.pc import ENVIRONMENT, Result, ended
from tests.worlds.ssh_door import make_key
from tests.worlds.store import SRC
from tests.worlds.toy import File, Tree, make_tree

pytestmark = [pytest.mark.real, pytest.mark.root, pytest.mark.slow]

OLD = "Welcome to the old lab.\n"
NEW = "Welcome to the new lab.\n\x1b]0;owned\x07\u202ereversed\n"
VARIANT = "etc/motd##class.lab"
COMMON: Tree = {
    "etc/allie/classes": "lab: pc07 pc[08-10]\n",
    "etc/motd": "Welcome.\n",
    VARIANT: File(OLD, 0o640),
    "etc/plain": "plain\n",
    "etc/tool": File("#!/bin/sh\n", 0o4755),
    "etc/large": "x" * 70_000,
}


class Ways:
    """A PC with an inbox behind an ssh door, and its server."""

    def __init__(self, top: Path) -> None:
        self.site = Site(top, COMMON)
        self.pc, self.store = self.site.pc, self.site.store
        self.doors = Doors(self.store, top / "work")
        (self.pc.root / "etc/ssh").mkdir()
        self.key = make_key(self.pc.root / "etc/ssh/ssh_host_ed25519_key")

    def join(self) -> None:
        """Join by the rsync door, and be enrolled at the other."""
        own = f"ssh://127.0.0.1:{self.doors.ssh_port}"
        self.pc.run("join", self.doors.url, "--own", own, "--no-timer").ok()
        self.on_server("store", "enrol", "pc07", self.key).ok()
        inbox = Path(self.doors.places.inbox("pc07"))
        os.chown(inbox, INBOX_UID, INBOX_UID)  # the account is in the server's namespace alone
        make_tree(Path(self.doors.places.private("pc07")), {"etc/secret": File("own\n", 0o600)})
        self.pc.run("run-conf").ok()

    @property
    def offers(self) -> Any:
        """What the report in the inbox offers."""
        return json.loads((self.store / "inbox/pc07/report").read_text())["offers"]

    def server_argv(self, *words: str) -> list[str]:
        """A command line on the server."""
        return [sys.executable, "-m", "allie.cli.main", *words, "--store", str(self.store)]

    def on_server(self, *words: str) -> Result:
        """It is run, with nobody at a terminal."""
        return ended(self.server_argv(*words), {**ENVIRONMENT, "PYTHONPATH": str(SRC)}, 60)


def at_terminal(argv: list[str], answer: str) -> tuple[int, str]:
    """Run it at a terminal, and give this answer to what it asks: its exit status, what is seen."""
    child, terminal = pty.fork()
    if not child:
        os.execve(argv[0], argv, {**ENVIRONMENT, "PYTHONPATH": str(SRC), "TERM": "xterm"})
    seen, answered, until = b"", False, time.monotonic() + 100
    while time.monotonic() < until:
        if select.select([terminal], [], [], 1)[0]:
            try:
                piece = os.read(terminal, 1 << 16)
            except OSError:  # EIO: the other end is closed
                break
            seen += piece
        if not answered and seen.endswith(b"[y/N] "):
            os.write(terminal, f"{answer}\n".encode())
            answered = True
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), seen.decode()


@pytest.fixture
def ways(tmp_path: Path) -> Iterator[Ways]:
    if can_be_opened():
        pytest.skip(can_be_opened())
    ways = Ways(tmp_path)
    with ways.doors:
        ways.join()
        yield ways


def argv(ways: Ways, *words: str) -> list[str]:
    """The PC's command line, its first word with its place."""
    first, *rest = ways.pc.argv(*words)
    return [shutil.which(first) or first, *rest]


def test_from_the_pc_to_the_overlay_and_back(ways: Ways) -> None:
    pc = ways.pc
    make_tree(pc.root, {"etc/motd": NEW})
    nobody = pc.run("adopt", "/etc/motd")
    assert nobody.rc == 64
    assert "nobody is here to say yes" in nobody.err
    assert at_terminal(argv(ways, "adopt", "/etc/motd"), "n")[0] == 64
    assert pc.run("adopt", "--list").out == "nothing is offered\n"
    code, seen = at_terminal(argv(ways, "adopt", "/etc/motd", "--reason", "we moved"), "y")
    assert code == 0, seen
    for shown in ("-Welcome to the old lab.", "+Welcome to the new lab.", r"\x1b]0;owned\x07"):
        assert shown in seen
    assert "\x1b]0" not in seen
    assert "\u202e" not in seen
    assert "`allie run-conf 99report`" in seen

    pc.run("run-conf", "99report").ok()
    (offer,) = ways.offers
    assert (offer["path"], offer["overlay"], offer["spelling"]) == ("etc/motd", "common", VARIANT)
    pc.run("run-conf").ok()
    assert pc.read("etc/motd") == OLD  # the tick has put it back; what is offered stays
    assert [each["state"] for each in pc.run("adopt", "--list", "--json").json] == ["offered"]

    listed = ways.on_server("fleet", "adopt").ok().out
    assert "pc07 /etc/motd  for common/etc/motd##class.lab" in listed
    assert "we moved" in listed
    before = (ways.store / "overlays/common" / VARIANT).stat()
    assert ways.on_server("fleet", "adopt", "pc07", "/etc/motd").rc == 64
    slip = ways.on_server("fleet", "adopt", "pc07", "/etc/mtod").err
    assert "pc07 does not offer /etc/mtod\n       did you mean /etc/motd?" in slip
    took = ways.server_argv("fleet", "adopt", "pc07", "/etc/motd")
    assert at_terminal(took, "n")[0] == 64
    assert (ways.store / "overlays/common" / VARIANT).read_text() == OLD
    code, seen = at_terminal(took, "y")
    assert code == 0, seen
    assert "1 host gets it: pc07" in seen
    assert r"\x1b]0;owned\x07\u202ereversed" in seen
    assert "\x1b]0" not in seen
    after = (ways.store / "overlays/common" / VARIANT).stat()
    assert (after.st_mode, after.st_uid) == (before.st_mode, before.st_uid)
    assert (ways.store / "overlays/common" / VARIANT).read_bytes() == NEW.encode()
    again = ways.on_server("fleet", "adopt", "pc07", "/etc/motd").ok().out
    assert "is so already: nothing is changed" in again
    assert (ways.store / "overlays/common" / VARIANT).stat().st_mtime_ns == after.st_mtime_ns

    pc.run("run-conf").ok()
    assert pc.read("etc/motd") == NEW
    assert pc.run("adopt", "--list").out == "nothing is offered\n"
    assert ways.offers == []
    assert ways.on_server("fleet", "adopt").out == "nothing is offered\n"


def test_what_the_store_has_changed_since_is_void(ways: Ways) -> None:
    pc = ways.pc
    make_tree(pc.root, {"etc/plain": "fixed\n"})
    pc.run("adopt", "etc/plain", "--yes").ok()
    pc.run("run-conf", "99report").ok()
    ways.site.overlay({"etc/plain": "another one, by now\n"})
    listed = ways.on_server("fleet", "adopt").ok().out
    assert "is another one by now than pc07 compared with" in listed
    refused = ways.on_server("fleet", "adopt", "pc07", "/etc/plain", "--yes")
    assert refused.rc == 2
    assert "-another one, by now" in refused.out  # what it is now is shown all the same
    assert (ways.store / "overlays/common/etc/plain").read_text() == "another one, by now\n"
    pc.run("run-conf").ok()
    assert ways.offers == []
    listed = pc.run("adopt", "--list").ok().out
    assert re.search(r"void +/etc/plain .*\n.* was changed in the store since: offer it", listed)
    pc.run("adopt", "--withdraw", "/etc/plain").ok()
    assert pc.run("adopt", "--list").out == "nothing is offered\n"
    assert pc.run("adopt", "--withdraw", "/etc/plain").rc == 64


def test_what_a_tick_has_put_back_can_be_offered_still(ways: Ways) -> None:
    pc = ways.pc
    make_tree(pc.root, {"etc/plain": "fixed in the night\n"})
    pc.run("run-conf").ok()
    assert pc.read("etc/plain") == "plain\n"
    said = pc.run("adopt", "/etc/plain", "--yes").ok().out
    assert "has put the store's file back" in said
    assert "+fixed in the night" in said
    assert [each["path"] for each in pc.run("adopt", "--list", "--json").json] == ["/etc/plain"]
    for content in ("fixed by day\n", "fixed again\n"):  # a quick tick would pass over it
        pc.run("run-conf").ok()
        assert len(ways.offers) == 1
        pc.run("run-conf").ok()
        make_tree(pc.root, {"etc/motd": content})
        pc.run("adopt", "/etc/motd", "--yes").ok()
        make_tree(pc.root, {"etc/motd": OLD})
        os.chmod(pc.path("etc/motd"), 0o640)
        pc.run("run-conf").ok()
        assert len(ways.offers) == 2
        pc.run("adopt", "/etc/motd", "--withdraw").ok()


def test_what_its_user_may_have_linked_is_not_read(ways: Ways) -> None:
    """As in a directory of his, on a kernel that lets him link to any file."""
    pc = ways.pc
    ways.site.overlay({"home/u/own": "the store's\n"})
    (pc.root / "home/u").mkdir(parents=True, exist_ok=True)
    pc.run("run-conf").ok()
    os.chown(pc.path("home/u"), 1000, 1000)
    make_tree(pc.root, {"etc/shadow": File("root's\n", 0o600)})
    pc.path("home/u/own").unlink()
    os.link(pc.path("etc/shadow"), pc.path("home/u/own"))
    done = pc.run("adopt", "/home/u/own", "--yes")
    assert done.rc == 64
    assert "has another name" in done.err
    assert "root's" not in done.out
    pc.run("run-conf")  # keeps what it found for undo
    done = pc.run("adopt", "/home/u/own", "--yes")
    assert "root's" not in done.out
    assert done.rc == 64, done


REFUSED = {
    "etc/secret": "its private overlay",
    "root/conf/run-conf": "kit",
    "etc/tool": "setuid",
    "etc/large": "larger than 64000 bytes",
    "etc/hostname": "in no overlay",
    "etc": "a directory",
    "etc/plain": "as the store has it",
    "etc/allie/classes": "is no regular file here",
    "etc/gone": "in no overlay",
}


def test_what_is_not_offered(ways: Ways) -> None:
    pc = ways.pc
    make_tree(pc.root, {"etc/secret": "another\n", "etc/tool": "new\n", "etc/large": "new\n"})
    classes = pc.path("etc/allie/classes")
    classes.unlink()
    classes.symlink_to("/etc/shadow")
    for path, words in REFUSED.items():
        done = pc.run("adopt", path, "--yes")
        assert done.rc in (2, 64), (path, done)
        assert words in done.err, (path, done.err)
    make_tree(pc.root, {"etc/plain": "y" * 64_001})
    assert "larger than" in pc.run("adopt", "etc/plain", "--yes").err
    make_tree(pc.root, {"etc/plain": ""})
    assert "/etc/plain is empty" in pc.run("adopt", "etc/plain", "--yes").err
    assert not pc.path("var/lib/allie/offers").exists()
    make_tree(pc.root, {"etc/plain": "y" * 63_998, "etc/motd": "z\n"})
    pc.run("adopt", "etc/plain", "--yes").ok()
    pc.run("adopt", "etc/motd", "--yes").ok()
    make_tree(pc.root, {"etc/motd": "zz\n"})
    assert "no more than 16 files" in pc.run("adopt", "etc/motd", "--yes").err
    pc.run("run-conf", "99report").ok()
    assert len((ways.store / "inbox/pc07/report").read_bytes()) < 160_000
    assert len(ways.offers) == 2


def test_without_an_inbox_it_says_what_is_needed(tmp_path: Path) -> None:
    site = Site(tmp_path, {"etc/plain": "plain\n", "root/conf/50x": script("exit 0")})
    site.join("--no-timer")
    make_tree(site.pc.root, {"etc/plain": "fixed\n"})
    done = site.pc.run("adopt", "/etc/plain", "--yes")
    assert done.rc == 64
    assert "no place for a report" in done.err
    assert "ssh door" in done.err
