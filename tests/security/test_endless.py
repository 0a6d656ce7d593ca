"""What another system's root may make endless: the base reads so much of it, and says which."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from allie.core.errors import StateError
from allie.machine.files import atomic
from tests.worlds.one_pc import World
from tests.worlds.pc import ended
from tests.worlds.toy import make_tree

pytestmark = [pytest.mark.real, pytest.mark.root]

PLACES = (
    "etc/allie/system etc/allie/allie.conf etc/allie/classes etc/os-release etc/hostname"
    " root/conf/50x root/done/50x var/lib/allie/ledger var/lib/allie/report var/lib/allie/contact"
    " var/lib/allie/history var/lib/allie/tick var/lib/allie/fetched var/lib/allie/rsync"
    " var/lib/dpkg/info/x.md5sums"
).split()


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    assert atomic.read_bytes(str(path), 100) == b"x" * 100
    with pytest.raises(StateError, match="larger than"):
        atomic.read_bytes(str(path), 99)
    os.truncate(path, 1 << 40)
    with pytest.raises(StateError, match=str(path)):
        atomic.read(str(path))


@pytest.mark.parametrize("place", PLACES)
def test_an_endless_file_ends_nothing(tmp_path: Path, place: str) -> None:
    """Not the memory, and not without a word."""
    world = World(tmp_path, {"etc/motd": "1\n", "etc/drifts": "1\n"})
    world.good()
    make_tree(world.root, {place: "x", "etc/drifts": "by a package?\n"})
    os.truncate(world.at(place), 1 << 40)
    for verb in (["run-conf"], ["status"], ["log"], ["why", "/etc/motd"]):
        argv = ["prlimit", "--as=1000000000", *world.pc.argv(*verb)]
        done = ended(argv, {**os.environ, **world.pc.env}, 60)
        assert "Traceback" not in done.out + done.err
        assert "MemoryError" not in done.out + done.err
        assert "fault in this client" not in done.out + done.err
        assert done.rc in (0, 1, 2)
