"""The boot menu on a FAT partition, booted by real UEFI and systemd-boot; a client makes it follow.

This machine may have no vfat: what is on the partition is put there and read by mtools, but for
what the client does in the guest.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from allie.client.boot import boot_loader, menu_partition, systemd_boot
from allie.client.situation import bound_disks
from allie.core.conf.settings import Settings
from allie.core.system import System
from allie.machine.disk import efivars
from allie.machine.roots.volume import Volume
from allie.server import kit
from tests.worlds import disk, qemu
from tests.worlds.debian import debian_root
from tests.worlds.forked import apart
from tests.worlds.loop import looped
from tests.worlds.two_systems import Systems

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.vm]

_CONF = """\
[allie]
store = /srv
[system one]
root = LABEL=one
overlays = common
[system two]
root = LABEL=two
image = image
overlays = common
"""
_RUN = """\
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mount -o remount,rw /
exec >/dev/ttyS1 2>&1
{commands}
echo end
"""


# Twice: FAT has no odd seconds, and what was copied is not copied again for that
_FOLLOW = """\
touch -d @1700000001 /boot/*
for each in 1 2; do python3 - <<END
import sys
sys.path.insert(0, "/usr/local/bin/allie")
from allie.client.boot import menu_partition
from allie.client.situation import settings_in_force
from allie.machine.roots import open_system
here = open_system.open_system()
with menu_partition.opened(here) as boot:
    made = menu_partition.refresh(here, settings_in_force.settings_of(here), boot)
    print("changed", made.changed)
END
done
"""
_VARIABLES = """\
insmod /efivarfs.ko
mount -t efivarfs efivarfs /sys/firmware/efi/efivars
ls /sys/firmware/efi/efivars
"""


class PC:
    """A disk with a boot partition of systemd-boot's and two systems."""

    def __init__(self, systems: Systems) -> None:
        self.file, self.boots, self._top = systems.top / "disk", 0, systems.top
        self.one, self.two = systems.one, systems.two
        self.names: list[str] = []  # of the entries, as they were last read

    def boot(self, first: str, last: str) -> str:
        """Boot it, and pull the plug when it has said the last: what it said from the first on."""
        self.boots += 1
        more = [*qemu.flash(self._top / "variables"), *qemu.disk(self.file)]
        with qemu.guest(self._top / f"boot{self.boots}", more) as guest:
            said = guest.wait_for("allie.entry=", results=True)
            assert first in said
            said = guest.wait_for(last, results=True).replace("\r", "")
        return said[said.index(first) :].strip()

    def put(self, boot: Path, device: str) -> None:
        """Make a boot partition of a directory."""
        make = ["mkfs.vfat", "-F", "32", "-n", "allie-boot", device]
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
        names = [str(boot / each) for each in os.listdir(boot)]
        subprocess.run(["mcopy", "-s", "-m", "-Q", "-i", device, *names, "::"], check=True)

    def menu(self) -> boot_loader.Written:
        """What stands on the boot partition now."""
        at = self._top / f"read{self.boots}"
        at.mkdir()
        with looped(self.file) as device, disk.numbered(device):
            copy = ["mcopy", "-s", "-m", "-Q", "-i", f"{device}p1", "::loader", str(at)]
            subprocess.run(copy, check=True)
        self.names = sorted(os.listdir(at / "loader/entries"), reverse=True)
        return menu_partition.loader_of(Volume(str(at))).read()


def _install(
    base: System, settings: Settings, boot: Volume, device: str, env: dict[str, str]
) -> list[str]:
    """The menu and systemd-boot."""
    bound_disks.trust(base, settings.others[0], f"{device}p3")
    menu_partition.refresh(base, settings, boot)
    if env:
        menu_partition.loader_of(boot).write_env(env)
    return menu_partition.loader_of(boot).install(base.root, "", "")


@pytest.fixture
def systems(tmp_path: Path, bootable: Path, monkeypatch: pytest.MonkeyPatch) -> Systems:
    """Two of them; `one` has the client."""
    monkeypatch.setattr(efivars, "_TOP", str(tmp_path / "no firmware of this machine's"))
    made = Systems(tmp_path, bootable)
    client = tmp_path / "one/usr/local/bin/allie"
    client.write_bytes(kit.archive())
    client.chmod(0o755)
    (tmp_path / "one/etc/allie/allie.conf").write_text(_CONF)
    return made


def installed(systems: Systems, commands: str, **env: str) -> PC:
    """A PC with this menu; `one` runs these commands at each boot."""
    systems.at_boot("one", _RUN.format(commands=commands))
    made = PC(systems)
    boot = systems.top / "boot"
    boot.mkdir()
    systemd_boot.claim(Volume(str(boot)))
    layout = (("300M", disk.ESP), ("900M", "L"), ("300M", "L"))
    with disk.partitioned(made.file, "2G", *layout) as device:
        systems.onto({"one": f"{device}p2", "two": f"{device}p3"})
        assert apart(_install, systems.base, systems.settings, Volume(str(boot)), device, env) == [
            "UEFI"
        ]
        made.put(boot, f"{device}p1")
    return made


@pytest.mark.timeout(3600)
def test_once_and_back_by_itself(systems: Systems) -> None:
    [module] = (systems.top / "one/usr/lib/modules").rglob("efivarfs.ko")
    shutil.copy(module, systems.top / "two")
    systems.at_boot("two", _RUN.format(commands=_VARIABLES))
    chosen = "allie boot two --once", "allie boot one", "allie boot one --once"
    pc = installed(systems, "; ".join((*chosen, chosen[0], "allie boot", "sync")))
    said = pc.boot("one came up:", "\nend")
    assert said.count(f"{pc.two} is booted next, once\n") == 2
    assert re.search("two .*next boot only\n", said), "as the firmware has it"
    assert pc.menu().env == {"allie_default": pc.one}
    said = pc.boot("two came up:", "\nend")
    assert "LoaderEntrySelected" in said
    assert "LoaderEntryOneShot" not in said, "systemd-boot forgot it: the default is next"
    assert pc.menu().env == {"allie_default": pc.one}


@pytest.mark.vm_all
@pytest.mark.parametrize("suite", ["bullseye", "trixie"])
@pytest.mark.timeout(3600)
def test_back_to_the_last_good_one(systems: Systems, suite: str) -> None:
    """`two` is the default and never reports a tick: after two boots `one` takes its place.

    By systemd-boot 247 and 257; 252 does it in test_installed_systemd_boot.py.
    """
    package = "systemd" if suite == "bullseye" else "systemd-boot-efi"
    other = debian_root(suite, systems.top / suite, [package])
    shutil.copy(other / systemd_boot._IMAGE, Path(systems.base.root) / systemd_boot._IMAGE)
    names = {"allie_default": systems.two, "allie_good": systems.one}
    pc = installed(systems, f"allie boot; allie boot one; allie boot\n{_FOLLOW}", **names)
    for tries in ("1", "2"):
        pc.boot("two came up:", pc.two)
        pc.menu()
        left = pc.names[0].partition("+")[2]
        assert left == {"1": "1-1.conf", "2": "0-2.conf"}[tries]
    said = pc.boot("one came up:", "\nend")
    assert re.search("one .*default, running\n", said)
    assert re.search("two .*did not come up twice\n", said)
    assert said.endswith("changed True\nchanged False\nend"), said
    good = {"allie_default": pc.one, "allie_good": pc.one}
    assert pc.menu().env == good, "it was chosen, which takes the mark away"
