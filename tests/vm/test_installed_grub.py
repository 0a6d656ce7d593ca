"""A PC installed with GRUB: its power goes, and it comes up and converges."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.worlds import disk, losing_power
from tests.worlds.bare_metal import empty_disk, stock
from tests.worlds.installing import install
from tests.worlds.loop import looped
from tests.worlds.losing_power import MARKED, PC
from tests.worlds.store import served

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.vm, pytest.mark.vm_all]

_LAYOUT = "[layout]\nboot = 260M\nsystem1 = 900M\nswap = 32M\n"


@pytest.mark.timeout(1500)
def test_it_loses_its_power(tmp_path: Path) -> None:
    store, file, layout = tmp_path / "store", tmp_path / "disk", tmp_path / "layout"
    stock(store, ["deb"], MARKED)
    empty_disk(file)
    layout.write_text(_LAYOUT)
    with served(store) as server:
        url = server.url.replace("127.0.0.1", "store.test")
        with disk.alone(), looped(file) as device:
            done = install(device, url, "--host", "pc1", "--layout", str(layout), "--yes")
            subprocess.run(["partx", "-d", device], check=False)
        assert done.returncode == 0, done.stdout
        losing_power.comes_up_and_converges(PC(tmp_path, file, server, uefi=False))
