"""GRUB's first sectors, as bytes: what is written and what of the disk's own is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from allie.client.boot import grub
from allie.client.boot.grub import boot_sector, with_start
from allie.client.setup import install
from allie.core.boot import disk_layout
from allie.core.errors import StateError
from allie.machine.disk import partition_table
from allie.machine.disk.partition_table import Partition
from allie.machine.files import atomic
from allie.machine.roots.volume import Volume


def test_the_core_is_told_where_the_rest_of_it_lies() -> None:
    core = bytes(range(256)) * 4
    told = with_start(core, 2048)
    assert int.from_bytes(told[0x1F4:0x1FC], "little") == 2049
    assert told[:0x1F4] + told[0x1FC:] == core[:0x1F4] + core[0x1FC:]


def test_the_partition_table_and_the_disks_signature_stay() -> None:
    grub, present = b"G" * 512, b"P" * 512
    made = boot_sector(grub, present, 34)
    assert len(made) == 512
    assert made[0x1B8:0x1FE] == b"P" * (0x1FE - 0x1B8)
    assert made[0x03:0x5A] == b"P" * (0x5A - 0x03)
    assert int.from_bytes(made[0x5C:0x64], "little") == 34
    assert made[0x66:0x68] == b"\x90\x90"
    assert made[:3] == b"GGG"
    assert made[0x68:0x1B8] == b"G" * (0x1B8 - 0x68)
    assert made[0x1FE:] == b"GG", "the mark 55 AA is GRUB's own"


@pytest.mark.parametrize(
    ("mib", "sector", "is_32"),
    [(34, 512, True), (256, 512, True), (256, 4096, False), (300, 4096, True)],
)
def test_a_small_fat_on_large_sectors_is_fat16(mib: int, sector: int, is_32: bool) -> None:
    """As EDK2, Linux and mtools agree on it only so; OVMF boots either from such a disk."""
    assert install.fat_options((mib << 20) // sector) == (["-F", "32"] if is_32 else [])


@pytest.mark.parametrize("folder", ["usr/lib/grub", "usr/share/grub2", "usr/lib/grub2"])
@pytest.mark.parametrize(
    ("sector", "esp", "platforms", "done"),
    [
        (512, "/dev/x2", ["i386-pc", "x86_64-efi"], ["BIOS", "UEFI"]),
        (512, "", ["i386-pc", "x86_64-efi"], ["BIOS"]),
        (4096, "/dev/x2", ["i386-pc", "x86_64-efi"], ["UEFI"]),
        (4096, "/dev/x2", ["i386-pc"], None),
        (4096, "", ["i386-pc", "x86_64-efi"], None),
        (512, "/dev/x2", [], None),
    ],
)
def test_for_which_firmware(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    folder: str,
    sector: int,
    esp: str,
    platforms: list[str],
    done: list[str] | None,
) -> None:
    """No BIOS boots from sectors of 4096 bytes; UEFI does, so GRUB for it is enough."""
    for each in platforms:
        (tmp_path / folder / each).mkdir(parents=True)
        (tmp_path / folder / each / "modinfo.sh").touch()
    spot = Partition("/dev/x1", "allie-bios", disk_layout.TYPES[disk_layout.BIOS], 256, 256, sector)
    (tmp_path / "disk").write_bytes(b"\0" * 512)
    monkeypatch.setattr(partition_table, "read", lambda _: [spot])
    monkeypatch.setattr(grub, "_image", lambda _here, platform, _modules: platform.encode())
    monkeypatch.setattr(atomic, "read_bytes", lambda _: b"\0" * 512)
    written: list[str] = []
    monkeypatch.setattr(grub, "_write_esp", lambda _here, at, _image: written.append(at))
    disk, loader = str(tmp_path / "disk"), grub.Grub(Volume(str(tmp_path)))
    if done is None:
        with pytest.raises(StateError):
            loader.install(str(tmp_path), disk, esp)
    else:
        assert loader.install(str(tmp_path), disk, esp) == done
    assert written == ([esp] if done and "UEFI" in done else [])
    assert bool(grub.no_bios(disk)) == (sector == 4096)
