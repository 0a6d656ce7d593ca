"""Put a boot loader on a disk, out of the parts that the installed system brings.

That is GRUB, for BIOS and for UEFI, or systemd-boot, for UEFI. What it boots is the menu on the
boot partition (client.boot.menu_partition), which GRUB finds by its label, and which systemd-boot
lies on. All that either needs is in one file, so it is installed once, and never again for a kernel
or a system. It needs neither udev, grub-install nor bootctl, which look at the machine that runs
now.
"""

from __future__ import annotations

import os

from allie.core.boot import disk_layout
from allie.core.conf import system_roots
from allie.core.errors import StateError
from allie.core.system import System
from allie.machine.disk import disks
from allie.machine.disk.disks import Partition
from allie.machine.files import atomic
from allie.machine.programs import process
from allie.machine.roots import open_system, volume
from allie.machine.roots.volume import Volume

_MODULES = (
    "part_gpt ext2 fat search search_label search_fs_uuid loadenv configfile normal linux test echo"
    " serial terminal minicmd ls cat reboot halt gzio all_video"
).split()
_EARLY = f"search --no-floppy --set=root --label {system_roots.BOOT_LABEL}\n" + (
    "set prefix=($root)/grub\nconfigfile ($root)/grub/grub.cfg\n"
)
_FALLBACK = "EFI/BOOT/BOOTX64.EFI"  # what every firmware tries (UEFI 3.5.1.1)
SYSTEMD_PACKAGES = (
    "put it in its image: systemd-boot-efi (since Debian 12 and Ubuntu 24.04), before that systemd;"
    " in Fedora systemd-boot-unsigned"
)
_SYSTEMD = "usr/lib/systemd/boot/efi/systemd-bootx64.efi"
_SYSTEMD_OWN = "EFI/systemd/systemd-bootx64.efi"  # where bootctl(1) looks for it
_GRUB = ("usr/lib/grub", "usr/share/grub2", "usr/lib/grub2")  # SUSE's are the last two
_SECTOR = 512
# GRUB's include/grub/i386/pc/boot.h: what is written into the first sectors of its two parts
_KERNEL_SECTOR = slice(0x5C, 0x64)
_DRIVE_CHECK = slice(0x66, 0x68)
_BPB, _PARTITIONS = slice(0x03, 0x5A), slice(0x1B8, 0x1FE)  # of the sector that is there: kept
_FIRST_BLOCK = slice(0x1F4, 0x1FC)


def install(root: str, disk: str, esp: str) -> list[str]:
    """Put GRUB on a disk that ALLiE laid out; for which firmware: "BIOS", "UEFI".

    root: the system whose GRUB is taken. esp: the device of the EFI system partition, or "".
    Raises StateError where the root has no GRUB or the disk no place for it, ProgramFailed.
    """
    here = open_system.open_system(root)
    done = []
    spot = _spot(disk)
    if spot and _modules(here, "i386-pc") and not (esp and no_bios(disk)):
        core = _image(here, "i386-pc", ["biosdisk"])
        boot = atomic.read_bytes(here.at(f"{_modules(here, 'i386-pc')}/boot.img")) or b""
        _write_bios(disk, spot, boot, core)
        done.append("BIOS")
    if esp and _modules(here, "x86_64-efi"):
        _write_esp(here, esp, _image(here, "x86_64-efi", ["efi_gop", "efi_uga"]))
        done.append("UEFI")
    if not done:
        raise StateError(
            f"the system in {root} has no GRUB for this disk",
            "put grub-common with grub-pc-bin and grub-efi-amd64-bin (Debian's names) in its image",
        )
    return done


def install_systemd_boot(root: str, boot: Volume) -> list[str]:
    """Put systemd-boot on the mounted boot partition, which is FAT; for which firmware: "UEFI".

    root: the system whose systemd-boot is taken. Raises StateError where it has none.
    """
    image = atomic.read_bytes(open_system.open_system(root).at(_SYSTEMD))
    if not image:
        raise StateError(
            f"the system in {root} has no systemd-boot: no {_SYSTEMD}", SYSTEMD_PACKAGES
        )
    for path in (_SYSTEMD_OWN, _FALLBACK):
        _put(boot, path, image)
    boot.sync()
    return ["UEFI"]


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
    sectors = {each.sector for each in disks.partitions(disk)}
    large = [str(each) for each in sorted(sectors) if each != _SECTOR]
    return f"{disk} has sectors of {large[0]} bytes: no BIOS boots it" if large else ""


def _modules(here: System, platform: str) -> str:
    """Where a system has GRUB for a platform; "" if it has none."""
    places = [f"{each}/{platform}" for each in _GRUB]
    return next((each for each in places if os.path.isfile(here.at(f"{each}/modinfo.sh"))), "")


def _image(here: System, platform: str, modules: list[str]) -> bytes:
    """GRUB in one file, made by the system's own grub-mkimage."""
    program = (
        "grub2-mkimage" if os.path.exists(here.at("usr/bin/grub2-mkimage")) else "grub-mkimage"
    )
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
    present = disks.partitions(disk)
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
    at, way = f"{here.run}/esp", disks.AS_FAT
    with disks.mounted(esp, at, way), volume.opened(at, way.flags) as there:
        _put(there, _FALLBACK, image)
        there.sync()


def _put(there: Volume, path: str, image: bytes) -> None:
    """A program for the firmware, on an EFI system partition."""
    there.make(os.path.dirname(path))
    there.write(path, image)
