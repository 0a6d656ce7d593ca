"""`allie install`: from an empty disk to a PC that boots, ticks by itself, and is current."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from allie.client.boot import menu_partition
from allie.machine.roots import open_system
from tests.worlds import disk, qemu
from tests.worlds.bare_metal import stock
from tests.worlds.forked import apart
from tests.worlds.installing import install_onto
from tests.worlds.loop import looped
from tests.worlds.store import Served, served

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.vm]

_LAYOUT = """\
[layout]
boot = 200M
system1 = 900M
swap = 32M
share = rest
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Served]:
    top = tmp_path / "store"
    stock(top, ["deb"], {})
    with served(top) as server:
        yield server


@pytest.mark.timeout(3600)
def test_an_empty_disk_becomes_a_pc_that_ticks_at_boot(tmp_path: Path, store: Served) -> None:
    file = tmp_path / "disk"
    subprocess.run(["truncate", "-s", "2G", str(file)], check=True)
    said = install_onto(file, store, _LAYOUT)
    assert "boots by BIOS" in said
    assert "left: " not in said
    (store.store / "overlays/common/etc/changed").write_text("since then\n")
    with qemu.guest(tmp_path / "vm", qemu.disk(file)) as guest:
        guest.wait_for("ticked as pc1: since then", results=True)
        guest.wait_for("login:")
    with looped(file) as device, disk.numbered(device):
        env = apart(_env, f"{device}p2")
    assert env["allie_good"] == env["allie_default"]
    assert "allie_tries" not in env


def _env(device: str) -> dict[str, str]:
    with menu_partition.opened(open_system.open_system("/"), device) as boot:
        return menu_partition.loader_of(boot).read().env
