"""What puts files in place brings all that `rsync -aHAXS` brings, and follows nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from allie.machine.roots import clone
from tests.worlds.one_pc import plain, snapshot
from tests.worlds.toy import Device, Dir, Fifo, File, Hard, Link, Tree, make_tree

pytestmark = [pytest.mark.real, pytest.mark.root]

CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
THINGS: Tree = {
    "plain": File("x\n", 0o640, owner=(5, 6), mtime=1_234_567_890.123),
    "empty": File(b"", 0o000),
    "suid": File("s", 0o6755, owner=(1000, 1000)),
    "caps": File("c", 0o755, owner=(1000, 1000), xattrs={"security.capability": CAPABILITY}),
    "notes": File("n", xattrs={"user.note": b"\0\xff", "trusted.mine": b"1"}),
    "hole": File("head", size=30_000_000),
    "large": File(os.urandom(3 << 20)),
    "dangling": Link("/nowhere/at all"),
    b"odd \xff\nname": Link(b"\xfe"),
    "pipe": Fifo(0o620),
    "null": Device(1, 3),
    "twin": Hard("notes"),
    "d": Dir(0o3711, owner=(7, 8), xattrs={"user.dir": b"d"}),
    "d/in it": "in\n",
    "d/shut": Dir(0o000),
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    made = make_tree(tmp_path / "source", THINGS)
    subprocess.run(["setfacl", "-m", "u:1000:rw,g:5:r", str(made / "plain")], check=True)
    subprocess.run(["setfacl", "-d", "-m", "u:1000:rwx", str(made / "d")], check=True)
    with (made / "hole").open("r+b") as file:
        file.seek(20_000_000)
        file.write(b"in the middle")
    return made


def facts(tree: Path) -> dict[str, object]:
    return {name: each._replace(inode=0, ctime=0) for name, each in snapshot(tree, ()).items()}


def test_a_whole_tree_is_as_rsync_brings_it(source: Path, tmp_path: Path) -> None:
    clone.Clones().whole(str(source), str(tmp_path / "ours"))
    rsync = ["rsync", "-aHAXS", "--numeric-ids", f"{source}/", f"{tmp_path}/theirs/"]
    subprocess.run(rsync, check=True)
    assert facts(tmp_path / "ours") == facts(source)
    assert plain(snapshot(tmp_path / "ours", ())) == plain(snapshot(tmp_path / "theirs", ()))
    assert (tmp_path / "ours/twin").samefile(tmp_path / "ours/notes")
    assert (tmp_path / "ours/hole").stat().st_blocks * 512 < 1 << 20


def test_an_acl_that_the_directory_gives_to_what_comes_is_not_kept(
    source: Path, tmp_path: Path
) -> None:
    room = tmp_path / "room"
    room.mkdir()
    subprocess.run(["setfacl", "-d", "-m", "u:1000:rwx", str(room)], check=True)
    for name in ("suid", "d", "pipe"):
        clone.make(str(source / name), str(room / name))
    made, wanted = facts(room), facts(source)
    assert [made[name] for name in ("suid", "pipe")] == [wanted["suid"], wanted["pipe"]]
    assert sorted(os.listxattr(room / "d")) == sorted(os.listxattr(source / "d"))


@pytest.mark.parametrize("stands", ["a file", "a link", "a dangling link", "a directory"])
def test_nothing_is_overwritten_or_followed(source: Path, tmp_path: Path, stands: str) -> None:
    trees: dict[str, Tree] = {
        "a file": {"x": "theirs\n"},
        "a link": {"x": Link("other"), "other": "theirs\n"},
        "a dangling link": {"x": Link("other")},
        "a directory": {"x/y": "theirs\n"},
    }
    room = make_tree(tmp_path / "room", trees[stands])
    before = snapshot(room, ())
    for name in ("plain", "dangling", "pipe", "d"):
        with pytest.raises(FileExistsError):
            clone.make(str(source / name), str(room / "x"))
    assert snapshot(room, ()) == before


def test_what_fails_leaves_nothing(source: Path, tmp_path: Path) -> None:
    room = tmp_path / "room"
    room.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(room)], check=True)
    try:
        with pytest.raises(OSError, match="No space left"):
            clone.make(str(source / "large"), str(room / "large"))
        assert os.listdir(room) == []
    finally:
        subprocess.run(["umount", str(room)], check=True)


def test_a_link_is_described_itself_and_not_what_it_leads_to(source: Path, tmp_path: Path) -> None:
    room = make_tree(tmp_path / "room", {"victim": "v\n"})
    (source / "link").symlink_to(room / "victim")
    os.chown(source / "link", 1000, 1000, follow_symlinks=False)
    before = snapshot(room, ())["victim"]
    clone.make(str(source / "link"), str(room / "link"))
    assert (room / "link").lstat().st_uid == 1000
    assert snapshot(room, ())["victim"] == before


def test_what_became_something_else_meanwhile_is_not_described(
    source: Path, tmp_path: Path
) -> None:
    room = make_tree(tmp_path / "room", {"x": Link("other"), "other": "theirs\n"})
    before = snapshot(room, ())
    with pytest.raises(FileExistsError):
        clone.describe_as(str(source / "plain"), str(room / "x"))
    assert snapshot(room, ()) == before
