"""A system has a machine-id before its first boot, whatever its image has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from allie.client.systems import own_files

ID = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("was", ["", "uninitialized\n", None, "link", "no etc", f"{ID}\n", ID])
@pytest.mark.parametrize("dbus", ["", f"{ID}\n", "link", None])
def test_it_is_there_and_one(tmp_path: Path, was: str | None, dbus: str | None) -> None:
    outside = tmp_path / "outside"
    outside.write_text("not ours\n")
    root = tmp_path / "root"
    (root / "var/lib/dbus").mkdir(parents=True)
    place, other = root / "etc/machine-id", root / "var/lib/dbus/machine-id"
    if was != "no etc":
        place.parent.mkdir()
    if was == "link":
        place.symlink_to(outside)
    elif was not in (None, "no etc"):
        place.write_text(was)
    if dbus == "link":
        other.symlink_to("/etc/machine-id")
    elif dbus is not None:
        other.write_text(dbus)
    own_files.identify(str(root))
    now = place.read_text()
    assert len(now.strip()) == 32
    assert not place.is_symlink()
    if was and ID in was:
        assert now == was, "one that was kept stays"
    elif dbus is not None:
        assert other.read_text() == now if not other.is_symlink() else os.readlink(other)
    own_files.identify(str(root))
    assert place.read_text() == now
    assert outside.read_text() == "not ours\n"
