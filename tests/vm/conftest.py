"""A Debian root that boots, unpacked once for all tests of a run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.worlds import qemu
from tests.worlds.debian import UnavailableError


@pytest.fixture(scope="session")
def bootable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be changed: a test that changes it copies it first (`cp -a --reflink=auto`)."""
    if os.geteuid():
        pytest.skip("making a Debian root needs root")
    try:
        return qemu.bootable_root(tmp_path_factory.mktemp("vm") / "bookworm")
    except UnavailableError as error:
        pytest.skip(str(error))
