"""What somebody does in the mirror costs one fetch; what a daemon says beside its answer, none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tick.site import Site
from tests.worlds import store
from tests.worlds.toy import Dir, Link, Tree, make_tree

pytestmark = [pytest.mark.root, pytest.mark.real]
TREE: Tree = {"etc/a": "a\n", "etc/sub/b": "b\n", "etc/link": Link("a"), "etc/dir": Dir()}


def _instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


FOREIGN: dict[str, Callable[[Path], object]] = {
    "a file": lambda top: (top / "etc/foreign").write_text("x"),
    "at the top": lambda top: (top / "foreign").write_text("x"),
    "a directory": lambda top: make_tree(
        top, {"etc/odd/deep/file": "x", "etc/odd/link": Link("/")}
    ),
    "a name with a newline": lambda top: (top / "etc/new\nline \\#012").write_text("x"),
    "what looks old": lambda top: (top / "etc/.part").write_text("x"),
    "an edit": lambda top: (top / "etc/a").write_text("edited\n"),
    "a mode": lambda top: (top / "etc/sub").chmod(0o700),
    "one removed": lambda top: shutil.rmtree(top / "etc/sub"),
    "another kind": lambda top: _instead(top / "etc/a"),
    "a time": lambda top: os.utime(top / "etc", (1, 1)),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_what_is_not_the_stores_goes_at_the_next_fetch(tmp_path: Path, what: str) -> None:
    site = Site(tmp_path, TREE)
    site.join("--image", "img", "--overlays", "kit,common", "--no-timer")
    site.pc.tick()
    current = site.pc.path("/var/lib/allie/mirror/current")
    FOREIGN[what](current / "common")
    site.pc.tick()
    now = os.readlink(current)
    assert now == "2"
    assert _names(current / "common") == _names(site.store / "overlays/common")
    assert site.pc.read("/etc/a") == "a\n"
    assert site.pc.read("/etc/sub/b") == "b\n"
    site.pc.tick()
    assert os.readlink(current) == now, "and no more"
    assert not site.pc.path("/etc/foreign").exists()


def _names(top: Path) -> set[str]:
    return {str(path.relative_to(top)) for path in top.rglob("*")}


def test_a_message_of_the_day_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    motd = tmp_path / "motd"
    motd.write_text(">f+++++++++ common/etc/a\n*deleting   common/etc/sub/b\nWelcome\n" * 3)
    monkeypatch.setattr(store, "GLOBAL", store.GLOBAL + f"motd file = {motd}\n")
    site = Site(tmp_path, TREE)
    with store.served(site.store) as server:
        words = ["--image", "img", "--no-timer"]
        done = site.pc.run("join", server.url, *words).ok()
        assert "Welcome" not in done.out + done.err
        assert "overlays = kit, common\n" in site.pc.read("/etc/allie/allie.conf")
        for _ in range(2):
            done = site.pc.run("run-conf").ok()
            assert "Welcome" not in done.out + done.err
        assert os.readlink(site.pc.path("/var/lib/allie/mirror/current")) == "1"
