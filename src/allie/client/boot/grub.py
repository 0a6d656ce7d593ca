"""GRUB: its menu on the boot partition, and GRUB itself on a disk, for BIOS and for UEFI.

GRUB finds the boot partition by its label. All that it needs to get there is in one file, which is
made of what the installed system brings: so it is installed once, and never again for a kernel or a
system. It takes neither udev nor grub-install: they look at the machine that runs now.
"""

from __future__ import annotations

import os

from allie.client.boot.boot_loader import BootLoader, Written
from allie.client.boot.systemd_boot import FALLBACK, put
from allie.core.boot import disk_layout, grub_config
from allie.core.boot.menu import MenuEntry
from allie.core.conf import system_roots
from allie.core.errors import StateError
from allie.core.system import System
from allie.machine.disk import file_systems, partition_table
from allie.machine.disk.partition_table import Partition
from allie.machine.files import atomic
from allie.machine.programs import process
from allie.machine.roots import open_system, volume, within

_MODULES = (
    "part_gpt ext2 fat search search_label search_fs_uuid loadenv configfile normal linux test echo"
    " serial terminal minicmd ls cat reboot halt gzio all_video"
).split()
_EARLY = f"search --no-floppy --set=root --label {system_roots.BOOT_LABEL}\n" + (
    "set prefix=($root)/grub\nconfigfile ($root)/grub/grub.cfg\n"
)
_GRUB = ("usr/lib/grub", "usr/share/grub2", "usr/lib/grub2")  # SUSE's are the last two
_SECTOR = 512
# GRUB's include/grub/i386/pc/boot.h: what is written into the first sectors of its two stages
_KERNEL_SECTOR = slice(0x5C, 0x64)
_DRIVE_CHECK = slice(0x66, 0x68)
_BPB, _PARTITIONS = slice(0x03, 0x5A), slice(0x1B8, 0x1FE)  # of the sector that is there: kept
_FIRST_BLOCK = slice(0x1F4, 0x1FC)
_CFG, _ENV = "grub/grub.cfg", "grub/grubenv"


class Grub(BootLoader):
    """GRUB, on an ext4 of its own."""

    def read(self) -> Written:
        cfg = self.boot.text(_CFG)
        env = grub_config.parse_env(self.boot.read(_ENV) or b"")
        return Written(tuple(grub_config.ids_in(cfg)), frozenset(grub_config.kernels_in(cfg)), env)

    def write(self, entries: list[MenuEntry], env: dict[str, str]) -> bool:
        self.boot.make("grub")
        text = grub_config.config(entries)
        changed = self.boot.text(_CFG) != text
        if changed:
            self.boot.write(_CFG, text)
            self.settle()
        return self.write_env(env) or changed

    def write_env(self, env: dict[str, str]) -> bool:
        block = grub_config.format_env(env)
        if self.boot.read(_ENV) == block:
            return False
        self.boot.write(_ENV, block)
        self.settle()
        return True

    def settle(self) -> None:
        self.boot.settle()  # GRUB replays no journal

    def install(self, root: str, disk: str, esp: str) -> list[str]:
        here = open_system.open_system(root)
        done = []
        spot, modules = _spot(disk), _modules(here, "i386-pc")
        if spot and modules and not (esp and no_bios(disk)):
            boot = atomic.read_bytes(here.at(f"{modules}/boot.img")) or b""
            _write_bios(disk, spot, boot, _image(here, "i386-pc", ["biosdisk"]))
            done.append("BIOS")
        if esp and _modules(here, "x86_64-efi"):
            _write_esp(here, esp, _image(here, "x86_64-efi", ["efi_gop", "efi_uga"]))
            done.append("UEFI")
        if not done:
            raise StateError(
                f"the system in {root} has no GRUB for this disk",
                "put grub-common with grub-pc-bin and grub-efi-amd64-bin (Debian's names) in its"
                " image",
            )
        return done


def with_start(core: bytes, sector: int) -> bytes:
    """GRUB's core, told where it lies: its first sector loads the rest from there."""
    data = bytearray(core)
    data[_FIRST_BLOCK] = (sector + 1).to_bytes(8, "little")
    return bytes(data)


def boot_sector(boot: bytes, present: bytes, sector: int) -> bytes:
    """The disk's first sector: GRUB's, with the partition table and signature that are there."""
    data = bytearray(boot)
    for kept in (_BPB, _PARTITIONS):
        data[kept] = present[kept]
    data[_KERNEL_SECTOR] = sector.to_bytes(8, "little")
    data[_DRIVE_CHECK] = b"\x90\x90"  # no jump: it is a disk, whatever number the BIOS gives it
    return bytes(data)


def no_bios(disk: str) -> str:
    """Why no BIOS can boot from a disk; "" if one can."""
    sectors = {each.sector for each in partition_table.read(disk)}
    large = [str(each) for each in sorted(sectors) if each != _SECTOR]
    return f"{disk} has sectors of {large[0]} bytes: no BIOS boots it" if large else ""


def _modules(here: System, platform: str) -> str:
    """Where a system has GRUB for a platform; "" if it has none."""
    places = [f"{each}/{platform}" for each in _GRUB]
    return next((each for each in places if os.path.isfile(here.at(f"{each}/modinfo.sh"))), "")


def _image(here: System, platform: str, modules: list[str]) -> bytes:
    """GRUB in one file, made by the system's own grub-mkimage."""
    program = "grub2-mkimage" if within.program(here.root, "grub2-mkimage") else "grub-mkimage"
    os.makedirs(here.state, 0o700, exist_ok=True)
    early = f"{here.state}/grub.cfg"
    out = f"{here.state}/grub.img"
    inside = len(here.root.rstrip("/"))
    argv = [program, "-O", platform, "-p", "/grub", "-c", early[inside:], "-o", out[inside:]]
    argv += ["-d", f"/{_modules(here, platform)}", *_MODULES, *modules]
    try:
        atomic.write(early, _EARLY, durable=False)
        process.run(argv if here.is_base else ["chroot", here.root, *argv], check=True)
        return atomic.read_bytes(out) or b""
    finally:
        atomic.remove(early)
        atomic.remove(out)


def _spot(disk: str) -> Partition | None:
    """The disk's BIOS boot partition; None if it has none."""
    present = partition_table.read(disk)
    if not present:
        raise StateError(f"{disk} has no partition table that can be read", f"sfdisk --list {disk}")
    return next(
        (each for each in present if each.kind == disk_layout.TYPES[disk_layout.BIOS]), None
    )


def _write_bios(disk: str, spot: Partition, boot: bytes, core: bytes) -> None:
    """Write the core, then the boot sector that loads it."""
    why = no_bios(disk)
    if why:
        raise StateError(why, "use UEFI: a layout with an esp")
    if len(boot) != _SECTOR or len(core) > spot.size * _SECTOR:
        raise StateError(f"GRUB ({len(core)} bytes) does not fit the BIOS boot partition of {disk}")
    with open(disk, "r+b") as file:
        present = file.read(_SECTOR)
        for sector, data in (
            (spot.start, with_start(core, spot.start)),
            (0, boot_sector(boot, present, spot.start)),
        ):
            file.seek(sector * _SECTOR)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


def _write_esp(here: System, esp: str, image: bytes) -> None:
    """Put GRUB where the firmware looks for it."""
    at, way = f"{here.run}/esp", file_systems.AS_FAT
    with file_systems.mounted(esp, at, way), volume.opened(at, way.flags) as there:
        put(there, FALLBACK, image)
        there.sync()
