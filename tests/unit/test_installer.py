"""What an installer is made of, and how its kernel line is read."""

from __future__ import annotations

import pytest

from allie.core.boot import menu
from allie.core.errors import UsageError
from allie.server.media import installer, iso


@pytest.mark.parametrize(
    ("releases", "wanted"),
    [
        ([], ""),
        (["6.1.0-9-amd64"], "6.1.0-9-amd64"),
        (["6.1.0-9-amd64", "6.1.0-10-amd64"], "6.1.0-10-amd64"),
        (["6.12.1-amd64", "6.2.0-amd64"], "6.12.1-amd64"),
        (["6.1.0-9-amd64", "6.1.0-9-cloud-amd64"], "6.1.0-9-cloud-amd64"),
        (["5.14.0-503.el9", "5.14.0-70.el9"], "5.14.0-503.el9"),
        (["6.1.0~rc3", "6.1.0", "6.0.9"], "6.1.0"),
        (["6.1.0.old", "6.1.0"], "6.1.0"),  # as the kernel's `make install` calls the one before
        (["6.6.30-gentoo.old", "6.6.30-gentoo"], "6.6.30-gentoo"),
    ],
)
def test_the_newest_kernel(releases: list[str], wanted: str) -> None:
    assert max(releases, key=menu.newest_first, default="") == wanted


def test_what_is_lacking_is_named_by_its_package() -> None:
    assert installer.lacking(set(installer.NEEDED)) == []
    assert installer.lacking(set(installer.NEEDED) - {"mkinitramfs", "sfdisk"}) == [
        "fdisk",
        "initramfs-tools",
    ]
    assert "rsync" in installer.lacking(set())


def test_the_menu_has_the_answers() -> None:
    text = iso.menu("debian12", "allie.disk=/dev/sda  allie.yes")
    assert "    linux /boot/vmlinuz allie.disk=/dev/sda allie.yes\n" in text
    assert "    linux /boot/vmlinuz\n" in iso.menu("debian12", "")


@pytest.mark.parametrize("append", ["a;b", "a\nb", "$x", "'", '"', "{", "a&b"])
def test_the_menu_takes_no_syntax(append: str) -> None:
    with pytest.raises(UsageError, match="--append"):
        iso.menu("debian12", append)
