"""A note that is made anew where there is none may be unreadable: no tick waits for that."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.worlds.one_pc import World, injected

pytestmark = [pytest.mark.real, pytest.mark.root]


_UNREADABLE = """
import errno, os
was = os.open
def opened(path, *args, **kwargs):
    if isinstance(path, str) and path.rpartition("/")[2] == {name!r} and "allie" in path:
        raise OSError(errno.EIO, os.strerror(errno.EIO), path)
    return was(path, *args, **kwargs)
os.open = opened
"""


@pytest.mark.parametrize(
    "name", ["bytes", "rsync", "fetched", ".names-common", ".changes", ".asked"]
)
def test_a_note_that_can_be_made_anew_holds_no_tick_up(tmp_path: Path, name: str) -> None:
    """Where the disk does not give it, it is as if there were none."""
    world = World(tmp_path, {"etc/a": "1\n", "etc/b": "1\n"})
    world.good()
    env = injected(tmp_path / "fault", _UNREADABLE.format(name=name))
    for number in range(3):
        world.put({"etc/a": "2" * number})
        done = world.tick(env=env)
        assert done.rc == 0, done
        assert world.read("etc/a") == "2" * number
