"""The boot menu on a real disk, booted by real GRUB: what is booted next, and what comes of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from allie.client.boot import menu_partition
from allie.client.situation import bound_disks
from allie.core.conf.settings import Settings
from allie.core.system import System
from tests.worlds import disk, qemu
from tests.worlds.forked import apart
from tests.worlds.loop import looped
from tests.worlds.two_systems import Systems

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.vm]


class PC:
    """A disk with a boot partition of GRUB's and two systems."""

    def __init__(self, systems: Systems) -> None:
        self.file, self.boots, self._top = systems.top / "disk", 0, systems.top
        self.base, self.one, self.two = systems.base, systems.one, systems.two

    def env(self) -> dict[str, str]:
        with looped(self.file) as device, disk.numbered(device):
            return apart(_env, self.base, f"{device}p2")

    def set_env(self, **variables: str) -> None:
        with looped(self.file) as device, disk.numbered(device):
            apart(_set_env, self.base, f"{device}p2", variables)

    def boot(self) -> str:
        """Boot it and pull the plug as soon as a system is up: what that says of itself."""
        self.boots += 1
        with qemu.guest(self._top / f"boot{self.boots}", qemu.disk(self.file)) as guest:
            return guest.wait_for("allie.entry=", results=True).strip()


def _env(base: System, device: str) -> dict[str, str]:
    with menu_partition.opened(base, device) as boot:
        return menu_partition.loader_of(boot).read().env


def _set_env(base: System, device: str, variables: dict[str, str]) -> None:
    with menu_partition.opened(base, device) as boot:
        menu_partition.loader_of(boot).write_env(variables)


def _install(base: System, settings: Settings, device: str) -> list[str]:
    """The menu and GRUB; and the menu again, which then changes nothing."""
    bound_disks.trust(base, settings.others[0], f"{device}p4")
    with menu_partition.opened(base, f"{device}p2") as boot:
        menu_partition.refresh(base, settings, boot)
        done = menu_partition.loader_of(boot).install(base.root, device, "")
        return [
            *done,
            *(["changed"] if menu_partition.refresh(base, settings, boot).changed else []),
        ]


@pytest.fixture
def pc(tmp_path: Path, bootable: Path) -> PC:
    systems = Systems(tmp_path, bootable)
    cmdline = 'a.note="b  c" console=ttyS0 init=/probe\n'
    (systems.top / "one/etc/kernel/cmdline").write_text(cmdline)
    made = PC(systems)
    layout = (("1M", disk.BIOS), ("300M", "L"), ("900M", "L"), ("300M", "L"))
    with disk.partitioned(made.file, "2G", *layout) as device:
        subprocess.run(["mkfs.ext4", "-q", "-L", "allie-boot", f"{device}p2"], check=True)
        systems.onto({"one": f"{device}p3", "two": f"{device}p4"})
        assert apart(_install, made.base, systems.settings, device) == ["BIOS"]
    return made


@pytest.mark.timeout(3600)
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
    words = f'root=LABEL=one ro "a.note=b  c" console=ttyS0 init=/probe allie.entry={pc.one}'
    assert said.endswith(words), "GRUB quotes the whole word; to the kernel it is the same"
    env = {"allie_default": pc.one, "allie_good": pc.one, "allie_bad": pc.two}
    assert pc.env() == {**env, "allie_tries": "1"}
