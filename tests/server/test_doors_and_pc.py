"""A PC at both doors of a store, as `allie store` opens them: from joining to being retired."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tick.site import TickPC
from tests.worlds.busybox import busybox_root
from tests.worlds.doors import INBOX_UID, Doors, can_be_opened
from tests.worlds.pc import Result, ended
from tests.worlds.store import SRC
from tests.worlds.toy import File, make_tree

pytestmark = [pytest.mark.real, pytest.mark.root, pytest.mark.slow]


@pytest.fixture
def doors(tmp_path: Path) -> Iterator[Doors]:
    if can_be_opened():
        pytest.skip(can_be_opened())
    with Doors(tmp_path / "store", tmp_path / "work") as found:
        make_tree(found.store / "overlays/common", {"etc/motd": "common\n"})
        yield found


def on_server(doors: Doors, *words: str) -> Result:
    """One of the store's verbs, as an administrator types it."""
    argv = [sys.executable, "-m", "allie.cli.main", "store", *words, "--store", str(doors.store)]
    return ended(argv, {**os.environ, "PYTHONPATH": str(SRC)}, 60)


def test_from_joining_to_being_retired(doors: Doors, tmp_path: Path) -> None:
    pc = TickPC(busybox_root(tmp_path / "pc", {"etc/hostname": "pc07\n"}))
    own = f"ssh://127.0.0.1:{doors.ssh_port}"
    joined = pc.run("join", doors.url, "--own", own, "--no-timer").ok().out
    server = subprocess.run(
        ["ssh-keygen", "-lf", str(doors.etc / "ssh_host_ed25519_key.pub")],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert f"its key is {server.split()[1]}; no other is taken" in joined
    found = re.search(r"allie store (enrol) (pc07) '(.*)'", joined)
    assert found, joined
    assert "waits to be enrolled" in pc.run("status").out

    on_server(doors, *found.groups()).ok()
    inbox = Path(doors.places.inbox("pc07"))
    os.chown(inbox, INBOX_UID, INBOX_UID)  # the account is in the server's namespace alone
    make_tree(Path(doors.places.private("pc07")), {"etc/keytab": File("pc07's\n", 0o600)})
    pc.run("run-conf").ok()
    assert pc.read("etc/keytab") == "pc07's\n"
    assert pc.path("etc/keytab").stat().st_mode & 0o777 == 0o600
    assert pc.read("etc/motd") == "common\n"
    told = json.loads((inbox / "report").read_text())
    assert told["systems"][0]["host"] == "pc07"
    assert "pc07's" not in (inbox / "report").read_text()

    assert on_server(doors, "retire", "pc07", "--withdraw").rc == 1  # not before it has told so
    pc.run("run-conf").ok()
    assert not pc.path("etc/keytab").exists()
    on_server(doors, "retire", "pc07", "--withdraw").ok()
    make_tree(doors.store / "overlays/common", {"etc/motd": "goes on\n"})
    done = pc.run("run-conf")
    assert (done.rc, pc.read("etc/motd")) == (1, "goes on\n")
    assert "waits to be enrolled" in pc.run("status").out


def test_all_by_the_ssh_door(doors: Doors, tmp_path: Path) -> None:
    pc = TickPC(busybox_root(tmp_path / "pc", {"etc/hostname": "pc07\n"}))
    door = f"ssh://127.0.0.1:{doors.ssh_port}"
    refused = pc.run("join", door, "--no-timer")
    found = re.search(r"allie store (enrol) (pc07) '(.*)'", refused.err)
    assert found, refused.err
    on_server(doors, *found.groups()).ok()
    pc.run("join", door, "--no-timer").ok()
    assert pc.read("etc/motd") == "common\n"
    assert pc.run("run-conf").rc == 0
