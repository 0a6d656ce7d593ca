"""Which client tries itself before a new one is placed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from allie.client.apply import changes


@pytest.mark.parametrize(
    ("theirs", "itself"), [("same", "ours"), ("othe", "new"), ("longer", "new")]
)
def test_a_client_that_is_the_same_is_tried_as_the_one_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, theirs: str, itself: str
) -> None:
    """Its code is unpacked and compiled; in the first tick of a new system that counts."""
    (tmp_path / "ours").write_text("same")
    (tmp_path / "new").write_text(theirs)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "ours"), "00overlay"])
    assert changes._ours_if_equal(str(tmp_path / "new")) == str(tmp_path / itself)
