"""How a boot partition is mounted: no program of it runs, and no device file of it is one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from allie.client.boot import menu_partition
from allie.core.conf import system_roots
from allie.machine.roots import open_system
from tests.worlds import machine
from tests.worlds.forked import apart
from tests.worlds.loop import looped

pytestmark = [pytest.mark.real, pytest.mark.root]

MAKE = {"ext4": ["mkfs.ext4", "-q", "-L"], "vfat": ["mkfs.vfat", "-n"]}


def _options(root: str, device: str) -> list[str]:
    """What the kernel says of the mount, at first, and after the menu was written."""
    found = []
    with menu_partition.opened(open_system.open_system(root), device) as boot:
        for _ in range(2):
            lines = Path("/proc/self/mountinfo").read_text().splitlines()
            found += [line.split()[5] for line in lines if line.split()[4] == boot.at]
            boot.make("grub")
            boot.write("grub/grubenv", "x")
            boot.settle()
    return found


@pytest.mark.parametrize("kind", MAKE)
def test_no_setuid_no_devices_no_programs(tmp_path: Path, kind: str) -> None:
    if machine.lacks_disk(kind):
        pytest.skip(machine.lacks_disk(kind))
    (tmp_path / "pc").mkdir()
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(40 << 20)
    made = [*MAKE[kind], system_roots.BOOT_LABEL, str(image)]
    subprocess.run(made, check=True, stdout=subprocess.DEVNULL)
    with looped(image) as device:
        options = apart(_options, str(tmp_path / "pc"), device)
    assert len(options) == 2
    for each in options:
        assert {"rw", "nosuid", "nodev", "noexec"} <= set(each.split(","))
