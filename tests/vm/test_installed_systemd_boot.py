"""A PC installed with systemd-boot: a kernel that does not boot gives way to the last good one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.worlds import qemu
from tests.worlds.bare_metal import Site
from tests.worlds.store import served
from tests.worlds.toy import File, Tree, make_tree

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.vm, pytest.mark.vm_all]

_LAYOUT = "[layout]\nloader = systemd-boot\nboot = 260M\nsystem1 = 900M\nswap = 32M\n"
# The system's own package manager, as it were: a newer kernel, whose initramfs is none
_KERNEL = """\
#!/bin/sh
# allie: every tick
[ -d /run/systemd/system ] || exit 75
[ ! -e /boot/vmlinuz-99.1 ] || exit 0
cp /boot/vmlinuz-[0-8]* /boot/vmlinuz-99.1
echo none >/boot/initrd.img-99.1
"""
_SAYS = """\
#!/bin/sh
# allie: every tick
[ -d /run/systemd/system ] || exit 75
echo "up: $(allie boot | tr -s ' ' | tr '\\n' ';')" >/dev/ttyS1
sync
echo "end of this tick" >/dev/ttyS1
"""


@pytest.mark.timeout(1500)
def test_a_kernel_that_does_not_boot_gives_way_to_the_last_one(tmp_path: Path) -> None:
    site = Site(tmp_path)
    scripts: Tree = {"97kernel": File(_KERNEL, 0o755), "99says": File(_SAYS, 0o755)}
    make_tree(site.store / "overlays/common/root/conf", scripts)
    site.make(plan=_LAYOUT)
    file = tmp_path / "disk"
    with served(site.store) as server:
        said = site.install(server, file, tmp_path / "installer")
        assert "deb is installed on /dev/vda, which boots by UEFI:" in said
        pc = [*qemu.flash(tmp_path / "variables"), *qemu.disk(file)]
        first = _boot(tmp_path / "first", pc)
        assert "up: deb 99.1 default;deb 6.1" in first, first
        for boot in ("second", "third"):
            with qemu.guest(tmp_path / boot, pc) as guest:
                guest.wait_for("Kernel panic", 240)
        last = _boot(tmp_path / "last", pc)
    release = last.partition("up: deb ")[2].partition(" ")[0]
    assert f"deb {release} default, running;deb 99.1 did not come up twice;" in last, last
    assert f"allie.entry=deb/{release}" not in first


def _boot(folder: Path, pc: list[str]) -> str:
    """Boot it, and pull the plug at the end of its tick: what that said."""
    with qemu.guest(folder, pc, memory=1024) as guest:
        said = guest.wait_for("end of this tick", 300, results=True).replace("\r", "")
    return said[said.index("up: ") :]
