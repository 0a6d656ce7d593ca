"""The fstab of a sibling: its own root, and what the PC's systems share."""

from __future__ import annotations

import pytest

from allie.core.boot import fstab

BASE = """\
# <file system> <mount point> <type> <options> <dump> <pass>
UUID=1  /            ext4  defaults 0 1
UUID=2  /boot        ext4  defaults 0 2
UUID=3  /boot/efi    vfat  umask=0077 0 1
LABEL=home /home     ext4  nodev 0 2   # everybody's
LABEL=swap none      swap  sw 0 0
server:/share /share nfs   defaults 0 0
LABEL=el7 /mnt/el7   ext4  defaults 0 0
tmpfs   /tmp         tmpfs defaults 0 0
tmpfs   /var/tmp     tmpfs defaults 0 0
proc    /proc        proc  defaults 0 0
"""


def test_what_is_shared() -> None:
    points = [line.point for line in fstab.shared(BASE)]
    assert points == ["/boot/efi", "/home", "none", "/share", "/mnt/el7", "/tmp"]


def test_its_own_root_by_label_and_not_twice() -> None:
    text = fstab.of_sibling(BASE, "LABEL=el7")
    assert "LABEL=el7 / auto defaults 0 1\n" in text
    assert "/mnt/el7" not in text
    assert "LABEL=home /home     ext4  nodev 0 2   # everybody's\n" in text
    assert "UUID=1" not in text


@pytest.mark.parametrize("base", ["", "# nothing\n", "garbage\n\n", "\0\n"])
def test_any_fstab_of_the_base_will_do(base: str) -> None:
    assert fstab.shared(fstab.of_sibling(base, "/systems/el7")) == []
