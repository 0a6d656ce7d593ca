"""An update that would change nothing makes nothing; the least difference is one all the same."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.systems.room import Room, arrives, entry, processes_of, section, tree_of
from tests.tick.site import TickPC, script
from tests.worlds.toy import Tree, make_tree
from tests.worlds.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.root]
Change = Callable[[Path], object]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with Room(tmp_path) as made:
        image = made.heavy_image("el7", 3)
        make_tree(image, {"etc/motd": "the image's\n", "usr/share/a": "a\n", "usr/share/b": "b\n"})
        os.link(image / "usr/share/a", image / "usr/share/a-too")
        made.declare(section("el7"))
        placed: Tree = {"etc/motd": "common\n", "etc/new/of": "ours\n"}
        made.overlay({**placed, "root/conf/50true": script("true")})
        yield made


def _update(pc: TickPC) -> str:
    said = pc.run("system", "update", "el7").ok().out
    assert ("now the image" in said) != ("already as the image" in said)
    return said


def _but_for_our_state(root: Path) -> dict[str, str]:
    return {name: what for name, what in tree_of(root).items() if name != "var/lib/allie"}


def _run(*argv: str | Path) -> bytes:
    return subprocess.run(list(map(str, argv)), check=True, stdout=subprocess.PIPE).stdout


def _link(image: Path) -> None:
    (image / "usr/share/b").unlink()
    os.link(image / "usr/share/a", image / "usr/share/b")


def _again(path: str, content: str) -> Change:
    return lambda image: make_tree(image, {path: content})


def _silently(path: str) -> Change:
    """Another content, as a reproducible build has it: of the same size and time."""

    def change(image: Path) -> None:
        st = (image / path).stat()
        (image / path).write_bytes((image / path).read_bytes().swapcase())
        os.utime(image / path, ns=(st.st_atime_ns, st.st_mtime_ns))

    return change


CHANGES: dict[str, Change] = {
    "content": _again("usr/share/b", "another b\n"),
    "content of the same size and time": _silently("usr/share/b"),
    "the same of a file with two names": _silently("usr/share/a"),
    "the same of what an overlay hides": _silently("etc/motd"),
    "a mode": lambda image: (image / "usr/share/b").chmod(0o600),
    "a directory's mode": lambda image: (image / "usr/share").chmod(0o750),
    "an owner": lambda image: os.chown(image / "usr/share/b", 7, 7),
    "an ACL": lambda image: _run("setfacl", "-m", "u:7:r", image / "usr/share/a"),
    "an attribute": lambda image: os.setxattr(image / "usr/share/a", "user.mark", b"1"),
    "a time": lambda image: os.utime(image / "usr/share/b", (1_500_000_000, 1_500_000_000)),
    "one file fewer": lambda image: (image / "usr/share/00").unlink(),
    "an empty directory": lambda image: (image / "usr/share/empty").mkdir(),
    "a symlink": lambda image: (image / "usr/share/to").symlink_to("b"),
    "two files that became one": _link,
    "what an overlay hides": _again("etc/motd", "the image's, edited\n"),
    "what only an overlay had": _again("etc/new/of", "the image's\n"),
    "a strange name": _again("usr/share/new\nline \\#011\t=> x", "x\n"),
}


def test_only_what_differs_is_an_update(room: Room, pc: TickPC) -> None:
    root, image = pc.root / "systems/el7", room.store / "images/el7"
    before = _but_for_our_state(root)
    sent = room.sent
    assert _update(pc) == "el7: already as the image el7 has it\n"
    assert _but_for_our_state(root) == before
    assert os.listdir(pc.root / "systems") == ["el7"], "nothing was made beside it"
    assert room.sent - sent < 50_000
    for what, change in CHANGES.items():
        change(image)
        assert "now the image" in _update(pc), what
        assert "already as the image" in _update(pc), what
        told = _run("rsync", "-naHAXOi", "--delete", f"{image}/usr/share", root / "usr")
        assert not told, what
    (room.store / "overlays/common/etc/motd").unlink()
    pc.tick()
    until(lambda: (root / "etc/motd").read_text() == "the image's, edited\n", "a right pristine")


def test_who_wants_it_quick_takes_size_and_time_for_it(room: Room, pc: TickPC) -> None:
    _silently("usr/share/b")(room.store / "images/el7")
    said = pc.run("system", "update", "el7", "--quick").ok().out
    assert "already as the image" in said
    assert "now the image" in _update(pc)


def test_the_next_image_may_have_the_times_of_this_one(room: Room, pc: TickPC) -> None:
    """Nobody asks: allie.conf names it."""
    image = room.store / "images/el7-june"
    _run("cp", "-a", room.store / "images/el7", image)
    _silently("usr/share/b")(image)
    room.declare(section("el7", image="el7-june"))
    pc.tick(rc=None)
    arrives(pc, "el7", "el7-june")
    until(lambda: not processes_of(pc.root), "it has ended")
    assert (pc.root / "systems/el7/usr/share/b").read_text() == (image / "usr/share/b").read_text()


def test_what_the_system_itself_wrote_is_not_the_images(pc: TickPC) -> None:
    root = pc.root / "systems/el7"
    passing: Tree = {
        "var/log/messages": "x\n",
        "etc/resolv.conf": "nameserver 192.0.2.1\n",
        "tmp/x": "x\n",
        "var/cache/y": "y\n",
        "home/ann/z": "z\n",
    }
    make_tree(root, passing)
    make_tree(root, {"etc/hostname": "renamed\n"})
    assert "already as the image" in _update(pc)
    make_tree(root, {"usr/local/stray": "made here\n"})
    assert "now the image" in _update(pc), "an update puts it right"
    assert not (root / "usr/local/stray").exists()
    pc.tick()


def test_the_same_image_under_another_name(room: Room, pc: TickPC) -> None:
    _run("cp", "-a", room.store / "images/el7", room.store / "images/el7-june")
    room.declare(section("el7", image="el7-june"))
    pc.tick(rc=None)
    found = arrives(pc, "el7", "el7-june")
    until(lambda: not processes_of(pc.root), "it has ended")
    assert found["previous"] == "", "no other tree was made"
    pc.tick()
    assert not processes_of(pc.root), "and it is not asked for again"
    make_tree(room.store / "images/el7-june", {"etc/release": "two\n"})
    assert "now the image el7-june" in _update(pc)
    assert entry(pc, "el7")["previous"] == "el7-june"
    pc.tick()


def test_a_copy_that_was_begun_goes_on_unasked(pc: TickPC) -> None:
    """And is not taken for what is there, though the image came back to that."""
    part = pc.root / "systems/.el7.part"
    part.mkdir()
    note = '{"system": "el7", "image": "el7", "phase": "image", "update": true}'
    (part / ".allie-fetching").write_text(note)
    assert "now the image" in _update(pc)
    assert sorted(os.listdir(pc.root / "systems")) == [".el7.other", "el7"]
    pc.tick()
