"""The archive's own beginning: each version is unpacked once, however many copies there are."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from allie.machine.code import cache, unpack
from allie.server import kit
from tests.worlds import machine


@pytest.mark.root
@pytest.mark.skipif(not machine.is_root(), reason="needs root")
def test_copies_share_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The base's archive and a sibling's, started in turn, do not unpack each other's code anew."""
    monkeypatch.setattr(unpack, "CODE", str(tmp_path / "code"))
    monkeypatch.setattr(cache, "CODE", str(tmp_path / "code"))
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(kit.archive())
    shutil.copy(first, second)
    place = unpack.unpack(str(first))
    made = os.stat(place).st_ino
    for archive in (second, first, second):
        assert (cache.find(str(archive)) or unpack.unpack(str(archive))) == place
    assert os.stat(place).st_ino == made
    marks = Path(place, "complete").read_text().splitlines()
    assert len(marks) == 2
    assert cache.find(str(second)) == place
    assert os.listdir(cache.CODE) == [os.path.basename(place)]
