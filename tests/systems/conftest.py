"""What tests of systems leave on purpose: the mount that keeps users from privileged programs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import leftovers


@pytest.fixture(autouse=True)
def _no_fences(tmp_path: Path) -> Iterator[None]:
    """On a PC it stays until the last system is removed; here it goes with the test."""
    yield
    for point in leftovers.mounts_below(tmp_path):
        if Path(point).name == "systems":
            subprocess.run(["umount", "--lazy", point], check=False)
