"""What a PC asks of its boot loader, whichever of the two it is.

    boot partition     loader                             what is written there
    ext4               GRUB (`grub`)                      grub/grub.cfg, then grub/grubenv
    FAT (UEFI alone)   systemd-boot (`systemd_boot`)      loader/entries/, then loader/loader.conf,
                                                          then a variable of the firmware

The kernels that the menu names are copied before it is written, and removed after
(`menu_partition`). Each step is one rename, after which the partition boots.
"""

from __future__ import annotations

from allie.core.boot import menu
from allie.core.boot.menu import MenuEntry
from allie.core.value import Value
from allie.machine.files import atomic
from allie.machine.roots.volume import Volume


class Written(Value):
    """The menu as it is written on a boot partition."""

    ids: tuple[str, ...]  # of its entries, in its order
    kernels: frozenset[str]  # that it names, by their paths on the boot partition
    env: dict[str, str]  # what the loader and we have noted


def running() -> str:
    """The entry that this PC was booted by; "" if not by a menu of ours."""
    return menu.booted_by(atomic.read("/proc/cmdline") or "")


class BootLoader:
    """A boot loader, and the mounted boot partition that it boots from."""

    tells_case = True  # whether two files there may differ in upper and lower case alone

    def __init__(self, boot: Volume) -> None:
        self.boot = boot

    def read(self) -> Written:
        """The menu as the loader finds it."""
        raise NotImplementedError

    def write(self, entries: list[MenuEntry], env: dict[str, str]) -> bool:
        """Have the menu be of these entries, and these variables; whether that is new."""
        raise NotImplementedError

    def write_env(self, env: dict[str, str]) -> bool:
        """The same with the entries that are there."""
        raise NotImplementedError

    def settle(self) -> None:
        """Have what was written stand where the loader finds it."""
        raise NotImplementedError

    def install(self, root: str, disk: str, esp: str, /) -> list[str]:
        """Put the loader of the system in `root` on a disk that ALLiE laid out.

        esp: the device of the EFI system partition, or "". Returns for which firmware it is now
        there: "BIOS", "UEFI". Raises StateError where the root has no such loader, ProgramFailed.
        """
        raise NotImplementedError
