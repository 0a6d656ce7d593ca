"""The boot menu on a real disk, booted by real GRUB: what is booted next, and what comes of it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from allie.client import bootloader, bootmenu, menufiles
from allie.core.settings import Declared, Settings
from allie.core.system import System
from allie.machine import locate
from tests.worlds import disk, qemu
from tests.worlds.busybox import busybox_root
from tests.worlds.forked import apart
from tests.worlds.loop import looped

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.vm]

# In place of init: a boot is a matter of seconds. It says how it came up, and waits for its end.
_PROBE = """\
#!/bin/sh
mount -t devtmpfs devtmpfs /dev
mount -t proc proc /proc
echo "{name} came up: $(cat /proc/cmdline)" >/dev/ttyS1
sleep 1000
"""


class PC:
    """A disk with a boot partition and two systems, `one` (a Debian) and `two` (of busybox)."""

    def __init__(self, top: Path, debian: Path) -> None:
        self.file, self.boots, self._top = top / "disk", 0, top
        self.base = locate.open_system(str(top / "one"))
        other = Declared("two", "LABEL=two", "image", ("common",))
        self.settings = Settings("one", ("/srv",), ("common",), root="LABEL=one", others=(other,))
        release = next(debian.glob("boot/vmlinuz-*")).name.partition("-")[2]
        self.one, self.two = f"one/{release}", f"two/{release}"

    def env(self) -> dict[str, str]:
        with looped(self.file) as device, disk.numbered(device):
            return apart(_env, self.base)

    def set_env(self, **variables: str) -> None:
        with looped(self.file) as device, disk.numbered(device):
            apart(_set_env, self.base, variables)

    def boot(self) -> str:
        """Boot it and pull the plug as soon as a system is up: what that says of itself."""
        self.boots += 1
        with qemu.guest(self._top / f"boot{self.boots}", qemu.disk(self.file)) as guest:
            return guest.wait_for("allie.entry=", results=True).strip()


def _env(base: System) -> dict[str, str]:
    with bootmenu.opened(base) as boot:
        return menufiles.read(boot).env


def _set_env(base: System, variables: dict[str, str]) -> None:
    with bootmenu.opened(base) as boot:
        menufiles.write_env(boot, variables)


def _install(base: System, settings: Settings, device: str) -> list[str]:
    """The menu and GRUB; and the menu again, which then changes nothing."""
    with bootmenu.opened(base) as boot:
        bootmenu.refresh(base, settings, boot)
        done = bootloader.install(base.root, device, "")
        return [*done, *(["changed"] if bootmenu.refresh(base, settings, boot).changed else [])]


def _system(root: Path, name: str) -> None:
    """Make a root a system of ALLiE's that comes up by the probe alone."""
    for place in ("etc/allie", "etc/kernel"):
        (root / place).mkdir(exist_ok=True)
    (root / "etc/allie/system").write_text(f"{name}\n")
    (root / "etc/kernel/cmdline").write_text("console=ttyS0 init=/probe\n")
    (root / "probe").write_text(_PROBE.format(name=name))
    (root / "probe").chmod(0o755)


@pytest.fixture
def pc(tmp_path: Path, bootable: Path) -> PC:
    one, two = tmp_path / "one", busybox_root(tmp_path / "two")
    subprocess.run(["cp", "-a", str(bootable), str(one)], check=True)
    for name in os.listdir(one / "boot"):
        shutil.copy2(one / "boot" / name, two / "boot" / name)
    _system(one, "one")
    _system(two, "two")
    made = PC(tmp_path, bootable)
    layout = (("1M", disk.BIOS), ("300M", "L"), ("900M", "L"), ("300M", "L"))
    with disk.partitioned(made.file, "2G", *layout) as device:
        make = ["mkfs.ext4", "-q", "-L"]
        subprocess.run([*make, "allie-boot", f"{device}p2"], check=True)
        subprocess.run([*make, "one", "-d", str(one), f"{device}p3"], check=True)
        subprocess.run([*make, "two", "-d", str(two), f"{device}p4"], check=True)
        assert apart(_install, made.base, made.settings, device) == ["BIOS"]
    return made


@pytest.mark.timeout(600)
def test_once_by_default_and_back_to_the_last_good_one(pc: PC) -> None:
    """`two` is the default and never reports a tick: after two boots `one` takes its place."""
    pc.set_env(allie_default=pc.two, allie_good=pc.one, next_entry=pc.one)
    assert pc.boot().startswith("one came up:"), "for once"
    env = {"allie_default": pc.two, "allie_good": pc.one}
    assert pc.env() == env
    assert pc.boot().startswith("two came up:"), "the default again, by itself"
    assert pc.env() == {**env, "allie_tries": "1"}
    pc.set_env(**env, allie_tries="2")  # as after a second boot of it
    said = pc.boot()
    assert said.startswith("one came up:")
    assert said.endswith(f"root=LABEL=one ro console=ttyS0 init=/probe allie.entry={pc.one}")
    env = {"allie_default": pc.one, "allie_good": pc.one, "allie_bad": pc.two}
    assert pc.env() == {**env, "allie_tries": "1"}
