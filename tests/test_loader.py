"""The archive's own beginning: each version is unpacked once, however many copies there are."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from allie.machine import loader, start
from allie.server import kit
from tests.worlds import machine


@pytest.mark.root
@pytest.mark.skipif(not machine.is_root(), reason="needs root")
def test_copies_share_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The base's archive and a sibling's, started in turn, do not unpack each other's code anew."""
    monkeypatch.setattr(loader, "CODE", str(tmp_path / "code"))
    monkeypatch.setattr(start, "CODE", str(tmp_path / "code"))
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(kit.archive())
    shutil.copy(first, second)
    place = loader.unpack(str(first))
    made = os.stat(place).st_ino
    for archive in (second, first, second):
        assert (start.find(str(archive)) or loader.unpack(str(archive))) == place
    assert os.stat(place).st_ino == made
    marks = Path(place, "complete").read_text().splitlines()
    assert len(marks) == 2
    assert start.find(str(second)) == place
    assert os.listdir(start.CODE) == [os.path.basename(place)]
