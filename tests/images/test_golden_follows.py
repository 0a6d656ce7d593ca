"""A golden machine that follows a store: what its overlays placed is no part of the image."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from allie.core.change import ledger
from allie.core.change.ledger import NOTHING, Ledger, Placed
from allie.server.images import without_overlays
from tests.images.site import Store, things
from tests.images.test_capture import offered
from tests.worlds.busybox import busybox_root
from tests.worlds.pc import PC
from tests.worlds.toy import File, Link, Tree, make_tree

pytestmark = [pytest.mark.root, pytest.mark.real]
OWN: Tree = {
    "etc/motd": File("the distribution's\n", 0o640),
    "etc/issue": "the distribution's\n",
    "etc/link": Link("motd"),
    "etc/drifted": "the distribution's\n",
    "etc/once": "the distribution's\n",
}
LAB: Tree = {
    "etc/motd": "the lab's\n",
    "etc/issue##absent": "",
    "etc/link": "no link\n",
    "etc/drifted": "the lab's\n",
    "opt/lab/tool": "the lab's\n",
}


def _golden(tmp_path: Path, server: Store) -> Path:
    """A PC with overlays laid, one file of which somebody changed since."""
    root = busybox_root(tmp_path / "golden", OWN)
    make_tree(server.top / "overlays/lab", LAB)
    pc = PC(root)
    join = ("join", str(server.top), "--image", "busybox", "--overlays", "kit,lab")
    done = pc.run(*join, "--system", "base", "--host", "gold17", "--no-timer")
    assert done.rc in (0, 1), done.err
    assert (root / "etc/motd").read_text() == "the lab's\n"
    assert not (root / "etc/issue").exists()
    (root / "etc/drifted").write_text("changed by hand\n")
    return root


@pytest.mark.parametrize("how", ["import", "capture", "import --blandify"])
def test_what_was_placed_makes_way_for_what_stood_there(tmp_path: Path, how: str) -> None:
    server = Store(tmp_path / "store")
    root = _golden(tmp_path, server)
    if how == "capture":
        with offered(server, root) as offer:
            capture = ["image", "capture", "gold1", offer.url]
            said = server.run(*capture, env=offer.password).ok().out
            offer.end()
    else:
        verb, *options = how.split()
        said = server.run("image", verb, "gold1", root, *options).ok().out
    image = server.image("gold1")
    there = things(image)
    before = things(busybox_root(tmp_path / "before", OWN))
    for path in ("etc/motd", "etc/issue", "etc/link"):
        assert there[path][:3] == before[path][:3], path
    assert (image / "etc/drifted").read_text() == "changed by hand\n"
    assert "opt/lab" not in there
    assert "usr/local/bin/allie" not in there, "the kit comes from the overlays, too"
    assert not set(there) & {"var/lib/allie/ledger", "var/lib/allie/pristine"}
    assert "ALLiE placed it" in said
    assert (root / "etc/motd").read_text() == "the lab's\n", "the golden machine keeps it"


def _entry(pristine: str, content: str = NOTHING) -> Placed:
    return Placed("lab", "x", "overlay", "", "", content, "", "", pristine)


@pytest.mark.parametrize(
    ("real", "pristine"),
    [
        ("../outside/new", "kept"),
        ("etc/new", "../../../../../outside/file"),
        ("etc/new", ".."),
        ("/etc/new", "kept"),
        ("out/new", "kept"),
        ("", "kept"),
        ("etc/new", "missing"),
    ],
)
def test_a_ledger_of_an_image_leads_nowhere_else(tmp_path: Path, real: str, pristine: str) -> None:
    outside = make_tree(tmp_path / "outside", {"file": "mine\n"})
    root = tmp_path / "root"
    kept: Tree = {"var/lib/allie/pristine/kept": "x\n", "etc/own": "x\n", "out": Link("../outside")}
    make_tree(root, kept)
    text = ledger.encode(Ledger({real: _entry(pristine)}, {}, {}))
    (root / "var/lib/allie/ledger").write_text(text)
    without_overlays.take_back(str(root))
    assert os.listdir(outside) == ["file"]
    assert os.listdir(root / "etc") == ["own"]
    assert os.listdir(root / "var/lib/allie") == []


@pytest.mark.parametrize("text", ["", "no ledger\n", "{}\n", json.dumps({"version": 2}) + "\n"])
def test_what_is_no_ledger_changes_nothing(tmp_path: Path, text: str) -> None:
    make_tree(tmp_path / "root", {"var/lib/allie/ledger": text, "etc/own": "x\n"})
    assert without_overlays.take_back(str(tmp_path / "root")) == []
    assert (tmp_path / "root/etc/own").exists()
