"""What cannot be removed is set aside and named; it keeps no system from what is wanted of it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from allie.core.errors import StateError
from allie.machine.disk import tree_copies
from allie.machine.files import removing
from allie.server import store
from allie.server.images import catalogue, draft
from tests.systems.room import Room, entry, section, settles
from tests.worlds.toy import Tree, make_tree
from tests.worlds.waiting import until

pytestmark = [pytest.mark.root]

TREE: Tree = {"etc/conf": "x\n", "etc/other": "x\n", "log/audit/log": "x\n", "usr/bin/tool": "x\n"}
DEEP = "/".join(["d"] * 120)
PROTECTED: dict[str, tuple[str, str, list[str]]] = {
    # what, chattr's letter, what stays
    "a file": ("etc/conf", "i", ["etc", "etc/conf"]),
    "one that only grows": ("log/audit/log", "a", ["log", "log/audit", "log/audit/log"]),
    "a directory": ("log/audit", "i", ["log", "log/audit", "log/audit/log"]),
    "a directory that only grows": ("log", "a", ["log", "log/audit"]),
    "the tree": (".", "i", ["etc", "log", "usr"]),
}


def chattr(change: str, *paths: Path) -> None:
    subprocess.run(["chattr", change, *map(str, paths)], check=True)


@pytest.fixture
def top(tmp_path: Path) -> Iterator[Path]:
    made = tmp_path / "systems"
    make_tree(made / ".s.gone", TREE)
    yield made
    subprocess.run(["chattr", "-R", "-i", "-a", str(made)], check=False, capture_output=True)


@pytest.mark.parametrize("kind", PROTECTED)
def test_the_rest_of_the_tree_goes(
    top: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    what, letter, stays = PROTECTED[kind]
    chattr(f"+{letter}", top / ".s.gone" / what)
    if kind == "the tree":
        with pytest.raises(StateError, match=r"s\.gone"):  # it cannot even be moved
            tree_copies.discard(str(top / ".s.gone"))
        assert _names(top / ".s.gone") == stays
        return
    tree_copies.discard(str(top / ".s.gone"))
    assert os.listdir(top) == [".s.gone.stuck-1"], "its name is free"
    aside = top / ".s.gone.stuck-1"
    assert _names(aside) == stays
    said = capsys.readouterr().err
    assert f"{aside / stays[-1]}: it is immutable or append-only" in said
    assert removing.is_aside(str(aside))
    tree_copies.discard_aside(str(top / ".s."))
    assert _names(aside) == stays, "it is tried again, and has its name"
    chattr(f"-{letter}", aside / what)
    tree_copies.discard_aside(str(top / ".s."))
    assert os.listdir(top) == []


def test_what_lies_deep_goes_too(top: Path) -> None:
    make_tree(top / ".s.gone", {f"{DEEP}/f": "x\n"})
    tree_copies.discard(str(top / ".s.gone"))
    assert os.listdir(top) == []


def test_names_that_are_alike_are_left_alone(top: Path) -> None:
    for name in (".s.gone.stuck-x", ".s.old-1", "s", ".t.gone.stuck-1"):
        (top / name).mkdir()
    before = sorted(os.listdir(top))
    tree_copies.discard_aside(str(top / ".s."))
    assert sorted(os.listdir(top)) == before


def test_an_image_is_imported_again_and_removed(tmp_path: Path) -> None:
    store.init(str(tmp_path))
    name = "golden"

    def version(words: str) -> None:
        with draft.begun(str(tmp_path), name) as part:
            draft.fresh(part)
            make_tree(Path(part.tree), {**TREE, "etc/conf": words})
            draft.switch(part)

    image, work = tmp_path / "images" / name, tmp_path / "images/.parts" / name
    version("one")
    chattr("+i", image / "etc/conf")
    try:
        version("two")
        assert (image / "etc/conf").read_text() == "two"
        assert _names(work) == ["old.stuck-1", "old.stuck-1/etc", "old.stuck-1/etc/conf"]
        version("three")
        assert catalogue.names(str(tmp_path)) == [name]
        assert catalogue.remove(str(tmp_path), name)
        assert catalogue.names(str(tmp_path)) == draft.unfinished(str(tmp_path)) == []
    finally:
        chattr("-i", work / "old.stuck-1/etc/conf")
    version("four")
    assert not work.exists()


@pytest.mark.real
@pytest.mark.parametrize("what", ["etc/resolv.conf", "etc", "usr/bin/tool"])
def test_a_system_goes_on_whatever_in_it_is_immutable(room: Room, what: str) -> None:
    room.declare(section("el7"))
    pc = room.pc("pc07")
    settles(pc, "el7")
    at = pc.root / "systems"
    make_tree(at / "el7", {"etc/resolv.conf": "nameserver 192.0.2.1\n"})
    chattr("+i", at / "el7" / what)
    try:
        for words in ("two\n", "three\n", "four\n"):
            make_tree(room.store / "images/el7", {"etc/release": words, "usr/new": words})
            pc.run("system", "update", "el7").ok()
            assert (at / "el7/etc/release").read_text() == words
        aside = [each for each in os.listdir(at) if ".stuck-" in each]
        assert len(aside) == 1
        assert aside[0] in entry(pc, "el7")["words"]
        assert (at / aside[0] / what).exists()
        room.overlay({"etc/motd": "new\n"})
        pc.tick()
        assert (at / "el7/etc/motd").read_text() == "new\n"
        pc.run("system", "rollback", "el7").ok()
        room.declare()
        pc.tick()
    finally:
        subprocess.run(["chattr", "-R", "-i", str(at)], check=False, capture_output=True)


@pytest.mark.real
def test_a_system_that_is_immutable_itself_stays_and_is_ticked(room: Room) -> None:
    """No other tree can take its place; that is asked before an image is fetched in vain."""
    room.declare(section("el7"))
    pc = room.pc("pc07")
    settles(pc, "el7")
    room.image("el8")
    room.declare(section("el7", image="el8"))
    at = pc.root / "systems"
    chattr("+i", at / "el7")
    try:
        room.overlay({"etc/motd": "new\n"})
        pc.tick(rc=None)
        until(lambda: "chattr -i" in entry(pc, "el7")["words"], "the update was tried")
        assert (at / "el7/etc/motd").read_text() == "new\n"
        room.declare()
        pc.tick()
        said = pc.run("system", "remove", "el7")
        assert (said.rc, f"cannot move {at}/el7: " in said.err) == (2, True)
        assert os.listdir(at) == ["el7"]
        assert (at / "el7/etc/motd").exists(), "nothing of it went"
    finally:
        chattr("-i", at / "el7")


def _names(top: Path) -> list[str]:
    return sorted(str(each.relative_to(top)) for each in top.rglob("*"))
