"""GRUB's first sectors, as bytes: what is written and what of the disk's own is kept."""

from __future__ import annotations

from allie.client.bootloader import boot_sector, with_start


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
