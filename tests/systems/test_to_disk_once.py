"""A tree in the making goes to the disk once, at its end, and is believed in from then on.

docs/internals/rules.md, "A tree in the making goes to the disk once".
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from allie.client.situation import other_systems
from allie.client.systems import new_system
from allie.client.systems.new_system import Job
from allie.core.conf.settings import Declared, Settings
from allie.core.errors import StateError
from allie.machine.files import atomic
from allie.machine.files.background_sync import BackgroundSync
from allie.machine.roots.open_system import open_system
from tests.systems.room import Room, arrives, entry, kill, processes_of, section, settles
from tests.tick.site import TickPC, script
from tests.worlds import machine
from tests.worlds.loop import looped
from tests.worlds.toy import make_tree
from tests.worlds.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.root]
_HANGS = script("echo begun >>/begun; sleep 1000", mode=0o755)


@contextmanager
def _failing_disk(folder: Path) -> Iterator[Path]:
    """A file system that has room, and whose disk takes a few megabytes: the next give EIO."""
    below, at = folder / "below", folder / "at"
    for place in (below, at):
        place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(below)], check=True)
    try:
        (below / "disk").touch()
        os.truncate(below / "disk", 64 << 20)
        with looped(below / "disk") as device:
            subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", device], check=True)
            subprocess.run(["mount", device, str(at)], check=True)
            try:
                yield at
            finally:
                subprocess.run(["umount", str(at)], check=True)
    finally:
        subprocess.run(["umount", str(below)], check=True)


def test_the_end_tells_of_an_error_that_another_sync_was_told_of(tmp_path: Path) -> None:
    why = machine.lacks_disk("ext4")
    if why:
        pytest.skip(why)
    with _failing_disk(tmp_path) as at, BackgroundSync(str(at)) as to_disk:
        (at / "file").write_bytes(b"x" * (24 << 20))
        for _ in range(5):  # others, and the one in the background
            subprocess.run(["sync", "-f", str(at)], capture_output=True, check=False)
        with pytest.raises(StateError, match="did not take the data"):
            to_disk.finish()


def test_nothing_goes_to_the_disk_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(os, "fsync", asked.append)
    with atomic.InOneSync():
        atomic.write(str(tmp_path / "a"), "1")
        atomic.point(str(tmp_path / "link"), "a")
        atomic.sync_filesystem(str(tmp_path))
    assert not asked
    atomic.write(str(tmp_path / "b"), "1")
    assert len(asked) == 2, "the file, and its directory"


def _without_content(path: Path) -> None:
    """Make a file what a power failure may leave of it: its name, size and time."""
    st = path.stat()
    with path.open("r+b") as file:
        file.write(bytes(st.st_size))
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))


def _in_its_first_tick(room: Room) -> tuple[TickPC, Path]:
    """A PC with a system whose first tick hangs in a script, and that one's tree."""
    room.heavy_image("el7", 2)
    room.overlay({"root/conf/50hang": _HANGS}, "slow")
    room.declare(section("el7", overlays="kit, common, slow"))
    pc = room.pc("pc07")
    part = pc.root / "systems/.el7.part"
    until((part / "begun").exists, "the script hangs")
    return pc, part


def test_killed_before_the_sync_all_of_it_is_compared_again(room: Room) -> None:
    pc, part = _in_its_first_tick(room)
    note = other_systems.note_of(str(part))
    assert note
    assert (note.phase, note.unsynced) == (other_systems.TICK, True)
    kill(processes_of(pc.root))
    until(lambda: not processes_of(pc.root), "they are dead")
    name = "usr/share/01"
    meant, came = room.store / "images/el7" / name, part / name
    _without_content(came)
    for mirrored in part.glob("var/lib/allie/mirror/[0-9]*/common/etc/motd"):
        _without_content(mirrored)
    room.overlay({"root/conf/50hang": script("true", mode=0o755)}, "slow")
    pc.tick(rc=None)
    settles(pc, "el7")
    root = pc.root / "systems/el7"
    assert (root / name).read_bytes() == meant.read_bytes()
    assert not (root / "begun").exists(), "what the killed tick did is not in the image"
    assert (root / "etc/motd").read_text() == "common\n"


def test_a_first_tick_that_failed_is_what_the_next_try_begins_with(room: Room) -> None:
    room.declare(section("el7", overlays="kit, common, late"))
    pc = room.pc("pc07")
    until(lambda: "late" in entry(pc, "el7")["words"], "its first tick has no overlay")
    part = pc.root / "systems/.el7.part"
    note = other_systems.note_of(str(part))
    assert note
    assert (note.phase, note.unsynced) == (other_systems.TICK, False)
    (part / "usr/share/mark").parent.mkdir(parents=True, exist_ok=True)
    (part / "usr/share/mark").touch()
    room.overlay({"etc/late": "late\n"}, "late")
    pc.tick(rc=None)
    arrives(pc, "el7")
    assert (pc.root / "systems/el7/usr/share/mark").exists(), "its image did not come again"


def test_an_update_killed_before_the_sync_keeps_no_name_without_content(room: Room) -> None:
    """Of the people's files, the PC's own and the overlays', too, which no image brings again."""
    room.image("el8", {"is-el8": ""})
    room.declare(section("el7"))
    pc = room.pc("pc07")
    settles(pc, "el7")
    root, part = pc.root / "systems/el7", pc.root / "systems/.el7.part"
    hangs = script("test ! -e /is-el8 || { echo begun >/begun; sleep 1000; }", mode=0o755)
    own: dict[Any, Any] = {"home/ann/thesis": "chapter 1\n", "etc/crypttab": "data\n"}
    make_tree(root, own)
    room.overlay({"root/conf/50hang": hangs})
    room.declare(section("el7", image="el8"))
    pc.tick(rc=None)
    until((part / "begun").exists, "the script hangs")
    kill(processes_of(pc.root))
    until(lambda: not processes_of(pc.root), "they are dead")
    mirrored = [*part.glob("var/lib/allie/mirror/[0-9]*/common/etc/motd")]
    assert mirrored
    for path in (*mirrored, *(part / name for name in own)):
        _without_content(path)
    room.overlay({"root/conf/50hang": script("true", mode=0o755)})
    pc.tick(rc=None)
    settles(pc, "el7", "el8")
    for name, text in {**own, "etc/motd": "common\n"}.items():
        assert (root / name).read_text() == text, name


@pytest.mark.parametrize("kind", ["new", "update", "update in place"])
def test_the_notes_of_an_update_in_place_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """One that is cut short would be a new system's, whose image comes without anybody's files."""
    for name in ("_fetch", "_make_fit", "_first_tick"):
        monkeypatch.setattr(new_system, name, lambda *_, **__: None)
    tree, like = tmp_path / "tree", str(tmp_path) if kind == "update" else ""
    tree.mkdir()
    declared = Declared("el7", "/systems/el7", "el7", ("kit",))
    note = other_systems.Note("el7", "el7", other_systems.IMAGE, update=kind != "new")
    other_systems.write_note(str(tree), note)
    synced: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda each: synced.append(os.readlink(f"/proc/self/fd/{each}"))
    )
    job = Job(open_system(str(tmp_path)), Settings("pc", (), ()), declared, str(tree), like)
    new_system.build(job)
    phases = 3 if kind == "update in place" else 1
    assert len([each for each in synced if other_systems.NOTE in each]) == phases


def test_a_note_that_was_cut_short_is_no_reason_to_believe_what_is_there(tmp_path: Path) -> None:
    (tmp_path / other_systems.NOTE).touch()
    note = other_systems.note_of(str(tmp_path))
    assert note
    assert note.unsynced
