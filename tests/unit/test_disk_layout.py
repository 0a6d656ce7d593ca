"""Layouts: how a disk is divided, as tables."""

from __future__ import annotations

import pytest

from allie.core.boot import disk_layout
from allie.core.errors import SettingsError

GIB = 1024


def sizes(text: str, disk: int) -> dict[str, int]:
    return {each.name: each.mib for each in disk_layout.fit(text, disk)}


@pytest.mark.parametrize(
    ("disk", "boot", "system", "swap"),
    [
        (2000 * GIB, 1 * GIB, 64 * GIB, 16 * GIB),
        (250 * GIB, 1 * GIB, 50 * GIB, 10 * GIB),
        (16 * GIB, 819, 3276, 655),
    ],
)
def test_the_usual_layout(disk: int, boot: int, system: int, swap: int) -> None:
    parts = sizes(disk_layout.DEFAULT, disk)
    assert parts["allie-boot"] == boot
    assert parts["system1"] == parts["system2"] == parts["system3"] == system
    assert parts["allie-swap"] == swap
    assert sum(parts.values()) == disk - 2, "the share has the rest"


def test_order_and_names() -> None:
    parts = disk_layout.fit("[layout]\nesp=64M\nboot=1G\nold=8G\nnew=8G\nhome=rest\n", 20 * GIB)
    assert [(each.kind, each.name, each.where) for each in parts] == [
        ("bios", "allie-bios", "PARTLABEL=allie-bios"),
        ("esp", "allie-esp", "LABEL=ALLIE-ESP"),
        ("boot", "allie-boot", "LABEL=allie-boot"),
        ("system", "old", "PARTLABEL=old"),
        ("system", "new", "PARTLABEL=new"),
        ("home", "allie-home", "LABEL=home"),
    ]
    assert disk_layout.fstab(parts) == "LABEL=home /home ext4 defaults,nofail 0 2\n"


def test_with_systemd_boot_the_boot_partition_is_the_esp() -> None:
    parts = disk_layout.fit(
        "[layout]\nloader = systemd-boot\nboot=1G\ndeb=8G\nswap=rest\n", 20 * GIB
    )
    assert [(each.kind, each.name, each.where) for each in parts] == [
        ("efi-boot", "allie-boot", "LABEL=allie-boot"),
        ("system", "deb", "PARTLABEL=deb"),
        ("swap", "allie-swap", "LABEL=swap"),
    ]
    assert sum(each.mib for each in parts) == 20 * GIB - 2
    assert f"size=1024MiB, type={disk_layout.TYPES[disk_layout.ESP]}, name=" in disk_layout.script(
        parts
    )
    with_grub = "[layout]\nloader = grub\nboot=1G\ndeb=8G\nswap=rest\n"
    assert disk_layout.fit(with_grub, 20 * GIB)[0].kind == "bios"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no section"),
        ("[layout]\nboot = 1G\nsystem1 = 9G\nloader = lilo\n", "loader = lilo"),
        ("[layout]\nboot = 1G\nsystem1 = 9G\nesp = 1G\nloader = systemd-boot\n", "has an esp"),
        ("[layout\n", "contains no section"),
        ("[layout]\nsystem1 = 20G\n", "no boot partition"),
        ("[layout]\nboot = 1G\nswap = 1G\n", "no place for a system"),
        ("[layout]\nboot = 1G\nsystem1 = many\n", "system1 = many"),
        (f"[layout]\nboot = 1G\nsystem1 = {'9' * 5000}G\n", "system1 = 999"),
        ("[layout]\nboot = 1G\nsystem1 =\n", "has no size"),
        ("[layout]\nboot = 1G\nsystem1 = rest\nshare = rest\n", "system1 and share"),
        ("[layout]\nboot = 1G\nsystem1 = 90G\n", "needs"),
        ("[layout]\nboot = 1G\nsystem1 = 90G\nshare = rest\n", "0 MiB for share"),
        ("[layout]\nboot = 1G\nsystem1 = 100M\n", "too little"),
        ("[layout]\nboot = 1G\nsys/tem = 10G\n", "no name"),
        ("[layout]\nboot = 1G\nallie-x = 10G\n", "no name"),
        ("[layout]\nboot = 1G\nsystem1 = 1G\nsystem1 = 1G\n", "already exists"),
    ],
)
def test_what_cannot_be_is_said(text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        disk_layout.fit(text, 80 * GIB)


def test_a_disk_that_is_too_small_says_how_to_go_on() -> None:
    with pytest.raises(SettingsError, match="too little") as caught:
        disk_layout.fit(disk_layout.DEFAULT, 2 * GIB)
    assert "--layout" in caught.value.hint
