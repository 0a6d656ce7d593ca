"""How the tests are divided (tests/workers.py), and what they may use: tools/in-memory."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests import leftovers, workers

TOP = Path(__file__).parents[1]
IN_MEMORY = TOP / "tools/in-memory"


@pytest.mark.parametrize("place", workers.named())
def test_what_is_named_is_there(place: str) -> None:
    """A file that was renamed would lose its place, or meet those that it must not meet."""
    assert (TOP / place).exists()


def test_a_file_is_one_piece_but_those_that_disturb_each_other() -> None:
    pieces = workers.piece
    assert pieces("tests/mirror/test_rings.py::test_x[a/b::c]") == "tests/mirror/test_rings.py"
    assert pieces("tests/use/test_root.py::test_x") == pieces("tests/use/test_y.py::test_y")
    assert pieces("tests/use/test_root.py::test_x") != pieces("tests/vm/test_install.py::test_x")


@pytest.mark.real
def test_a_command_in_memory_leaves_nothing_of_its_own(tmp_path: Path) -> None:
    """Wherever it may run: its outputs, its exit status, and no mount outside of it."""
    script = 'd=$(mktemp -d) && touch "$d/x" && echo "$d" && exit 7'
    done = subprocess.run(
        [IN_MEMORY, "sh", "-c", script, "a b"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 7, done.stderr
    assert done.stdout.startswith(str(tmp_path))
    if done.stdout.startswith(f"{tmp_path}/allie-tests/"):
        assert not os.path.lexists(done.stdout.strip())
        assert leftovers.mounts_below(tmp_path) == []
        assert not any((tmp_path / "allie-tests").iterdir())
