"""Put GRUB on a disk, for BIOS and for UEFI, out of the parts that the installed system brings.

What it boots is the menu on the boot partition (client.bootmenu), which it finds by its label. All
that GRUB needs is in one image, so it is installed once, and never again for a kernel or a system.
It needs neither udev nor grub-install, which both look at the machine that runs now.
"""

from __future__ import annotations

import json
import os

from allie.core import menu
from allie.core.errors import StateError
from allie.core.system import System
from allie.core.value import Value
from allie.machine import atomic, disks, locate, process

_MODULES = (
    "part_gpt ext2 fat search search_label search_fs_uuid loadenv configfile normal linux test echo"
    " serial terminal minicmd ls cat reboot halt gzio all_video"
).split()
_EARLY = f"search --no-floppy --set=root --label {menu.LABEL}\n" + (
    "set prefix=($root)/grub\nconfigfile ($root)/grub/grub.cfg\n"
)
_BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"  # type of the partition that holds GRUB's core
_FALLBACK = "EFI/BOOT/BOOTX64.EFI"  # what every firmware tries (UEFI 3.5.1.1)
_SECTOR = 512
# GRUB's include/grub/i386/pc/boot.h: what is written into the first sectors of its two parts
_KERNEL_SECTOR = slice(0x5C, 0x64)
_DRIVE_CHECK = slice(0x66, 0x68)
_BPB, _PARTITIONS = slice(0x03, 0x5A), slice(0x1B8, 0x1FE)  # of the sector that is there: kept
_FIRST_BLOCK = slice(0x1F4, 0x1FC)


class Spot(Value):
    """The partition that GRUB's core for BIOS goes to."""

    start: int  # in sectors
    sectors: int
    size: int  # of a sector, in bytes


def install(root: str, disk: str, esp: str) -> list[str]:
    """Put GRUB on a disk that ALLiE laid out; for which firmware: "BIOS", "UEFI".

    root: the system whose GRUB is taken. esp: the device of the EFI system partition, or "".
    Raises StateError where the root has no GRUB or the disk no place for it, ProgramFailed.
    """
    here = locate.open_system(root)
    done = []
    spot = _spot(disk)
    if spot and _has(here, "i386-pc"):
        core = _image(here, "i386-pc", ["biosdisk"])
        boot = atomic.read_bytes(here.at("usr/lib/grub/i386-pc/boot.img")) or b""
        _write_bios(disk, spot, boot, core)
        done.append("BIOS")
    if esp and _has(here, "x86_64-efi"):
        _write_esp(here, esp, _image(here, "x86_64-efi", ["efi_gop", "efi_uga"]))
        done.append("UEFI")
    if not done:
        raise StateError(
            f"the system in {root} has no GRUB for this disk",
            "put grub-common with grub-pc-bin and grub-efi-amd64-bin (Debian's names) in its image",
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


def _has(here: System, platform: str) -> bool:
    return os.path.isfile(here.at(f"usr/lib/grub/{platform}/modinfo.sh"))


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
    argv += ["-d", f"/usr/lib/grub/{platform}", *_MODULES, *modules]
    try:
        atomic.write(early, _EARLY, durable=False)
        process.run(argv if here.is_base else ["chroot", here.root, *argv], check=True)
        return atomic.read_bytes(out) or b""
    finally:
        atomic.remove(early)
        atomic.remove(out)


def _spot(disk: str) -> Spot | None:
    """The disk's BIOS boot partition; None if it has none."""
    finished = process.run(["sfdisk", "--json", disk], check=True)
    table = json.loads(finished.out)["partitiontable"]
    for each in table["partitions"]:
        if each["type"].upper() == _BIOS_BOOT:
            return Spot(each["start"], each["size"], table.get("sectorsize", _SECTOR))
    return None


def _write_bios(disk: str, spot: Spot, boot: bytes, core: bytes) -> None:
    """Write the core, then the boot sector that loads it."""
    if spot.size != _SECTOR:
        raise StateError(f"{disk} has sectors of {spot.size} bytes: no BIOS boots it", "use UEFI")
    if len(boot) != _SECTOR or len(core) > spot.sectors * _SECTOR:
        raise StateError(f"GRUB ({len(core)} bytes) does not fit the BIOS boot partition of {disk}")
    with open(disk, "r+b", buffering=0) as file:
        present = os.pread(file.fileno(), _SECTOR, 0)
        _write_at(file.fileno(), with_start(core, spot.start), spot.start * _SECTOR)
        os.fsync(file.fileno())
        _write_at(file.fileno(), boot_sector(boot, present, spot.start), 0)
        os.fsync(file.fileno())


def _write_at(file: int, data: bytes, at: int) -> None:
    while data:
        count = os.pwrite(file, data, at)
        data, at = data[count:], at + count


def _write_esp(here: System, esp: str, image: bytes) -> None:
    """Put GRUB where the firmware looks for it."""
    with disks.mounted(esp, f"{here.run}/esp") as at:
        os.makedirs(os.path.dirname(f"{at}/{_FALLBACK}"), exist_ok=True)
        atomic.write(f"{at}/{_FALLBACK}", image)
        atomic.sync_filesystem(at)
