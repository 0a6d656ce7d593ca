"""A PC installed with systemd-boot: its power goes, or a new kernel of it does not boot.

It is installed by the installer, since this machine may have no vfat, which its boot partition is.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from allie.machine.disk import efivars
from tests.worlds import losing_power, qemu
from tests.worlds.bare_metal import SOON, Site, overlay
from tests.worlds.losing_power import MARKED, PC
from tests.worlds.store import Served, served
from tests.worlds.toy import File, Tree

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
_TREE: Tree = {
    **SOON,
    "root/conf/97kernel": File(_KERNEL, 0o755),
    "root/conf/99says": File(_SAYS, 0o755),
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Served]]:
    """Its disk, as it is when the installer has ended, and the store that it follows."""
    top = tmp_path_factory.mktemp("installed")
    site = Site(top, MARKED)
    site.make(plan=_LAYOUT)
    with served(site.store) as server:
        said = site.install(server, top / "disk", top / "installer")
        assert "deb is installed on /dev/vda, which boots by UEFI:" in said
        yield top / "disk", server


@pytest.fixture
def pc(
    installed: tuple[Path, Served], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PC]:
    monkeypatch.setattr(efivars, "_TOP", str(tmp_path / "no firmware of this machine's"))
    subprocess.run(["cp", "--sparse=always", installed[0], tmp_path / "disk"], check=True)
    yield PC(tmp_path, tmp_path / "disk", installed[1], uefi=True)


@pytest.mark.timeout(3600)
def test_it_loses_its_power(pc: PC) -> None:
    losing_power.comes_up_and_converges(pc)


@pytest.mark.timeout(3600)
def test_a_kernel_that_does_not_boot_gives_way_to_the_last_one(pc: PC) -> None:
    overlay(pc.server.store, _TREE)
    first = _up(pc)
    assert "up: deb 99.1 default;deb 6.1" in first, first
    for boot in ("second", "third"):
        more = [*qemu.flash(pc.top / "variables"), *qemu.disk(pc.file)]
        with qemu.guest(pc.top / boot, more) as guest:
            guest.wait_for("Kernel panic")
    last = _up(pc)
    release = last.partition("up: deb ")[2].partition(" ")[0]
    assert f"deb {release} default, running;deb 99.1 did not come up twice;" in last, last
    assert f"allie.entry=deb/{release}" not in first


def _up(pc: PC) -> str:
    """Boot it, and pull the plug at the end of its tick: what that said."""
    said = pc.boot("end of this tick")
    return said[said.index("up: ") :]
