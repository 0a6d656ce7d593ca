"""Which client tries itself before a new one is placed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from allie.client.apply import changes
from allie.core.system import System
from allie.machine.namespaces import trial


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


@pytest.mark.parametrize(
    ("root", "theirs", "tried"),
    [("/", "same", True), ("/systems/a", "same", False), ("/systems/a", "othe", True)],
)
def test_another_system_gets_the_client_that_is_at_work_without_a_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str, theirs: str, tried: bool
) -> None:
    (tmp_path / "ours").write_text("same")
    (tmp_path / "new").write_text(theirs)
    (tmp_path / "new").chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "ours"), "00overlay"])
    monkeypatch.setattr(trial, "run", lambda *_, **__: trial.Tried(1, b"it was tried"))
    here = System(root, "a", "", "", "", "", "", "")
    assert changes._why_broken(here, str(tmp_path / "new")) == "it was tried" * tried
