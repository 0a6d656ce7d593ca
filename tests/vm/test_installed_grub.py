"""A PC installed with GRUB: its power goes, and it comes up and converges."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.worlds import losing_power
from tests.worlds.bare_metal import empty_disk, stock
from tests.worlds.installing import install_onto
from tests.worlds.losing_power import MARKED, PC
from tests.worlds.store import served

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.vm, pytest.mark.vm_all]

_LAYOUT = "[layout]\nboot = 260M\nsystem1 = 900M\nswap = 32M\n"


@pytest.mark.timeout(3600)
def test_it_loses_its_power(tmp_path: Path) -> None:
    store, file = tmp_path / "store", tmp_path / "disk"
    stock(store, ["deb"], MARKED)
    empty_disk(file)
    with served(store) as server:
        install_onto(file, server, _LAYOUT)
        losing_power.comes_up_and_converges(PC(tmp_path, file, server, uefi=False))
