"""Kernels and their initramfs are found by the names that each distribution gives them."""

from __future__ import annotations

from pathlib import Path

import pytest

from allie.machine.roots import kernels, within
from tests.worlds.toy import Link, Tree, make_tree

NONE = "0123456789abcdef0123456789abcdef"
NAMES: dict[str, tuple[Tree, list[str]]] = {
    "Debian": (
        {"boot/vmlinuz-6.1.0-18-amd64": "k", "boot/initrd.img-6.1.0-18-amd64": "i"},
        ["6.1.0-18-amd64"],
    ),
    "Alpine": (
        {
            "boot/vmlinuz-lts": "k",
            "boot/initramfs-lts": "i",
            "boot/vmlinuz-virt": "k",
            "boot/initramfs-virt": "i",
            "boot/config-6.6.9-0-lts": "",
        },
        ["virt", "lts"],
    ),
    "Arch": (
        {
            "boot/vmlinuz-linux": "k",
            "boot/initramfs-linux.img": "i",
            "boot/initramfs-linux-fallback.img": "i",
            "boot/intel-ucode.img": "",
        },
        ["linux"],
    ),
    "Fedora": (
        {
            "boot/vmlinuz-6.5.6-300.fc39.x86_64": "k",
            "boot/initramfs-6.5.6-300.fc39.x86_64.img": "i",
            f"boot/vmlinuz-0-rescue-{NONE}": "k",
            f"boot/initramfs-0-rescue-{NONE}.img": "i",
        },
        ["6.5.6-300.fc39.x86_64"],
    ),
    "Fedora's kernel-install, for systemd-boot": (
        {f"boot/{NONE}/6.5.6/linux": "k", f"boot/{NONE}/6.5.6/initrd": "i"},
        ["6.5.6"],
    ),
    "Fedora's image builds": (
        {"usr/lib/modules/6.5.6/vmlinuz": "k", "usr/lib/modules/6.5.6/initramfs.img": "i"},
        ["6.5.6"],
    ),
    "SUSE": (
        {
            "usr/lib/modules/6.4.0-150600.21-default/vmlinuz": "k",
            "boot/vmlinuz-6.4.0-150600.21-default": Link(
                "../usr/lib/modules/6.4.0-150600.21-default/vmlinuz"
            ),
            "boot/initrd-6.4.0-150600.21-default": "i",
            "boot/vmlinuz": Link("vmlinuz-6.4.0-150600.21-default"),
            "boot/initrd": Link("initrd-6.4.0-150600.21-default"),
        },
        ["6.4.0-150600.21-default"],
    ),
    "SUSE without links in /boot": (
        {"usr/lib/modules/6.4.0-default/vmlinuz": "k", "boot/initrd-6.4.0-default": "i"},
        ["6.4.0-default"],
    ),
    "EL 5": (
        {"boot/vmlinuz-2.6.18-419.el5": "k", "boot/initrd-2.6.18-419.el5.img": "i"},
        ["2.6.18-419.el5"],
    ),
    "Gentoo": (
        {"boot/kernel-6.6.13-gentoo": "k", "boot/initramfs-6.6.13-gentoo.img": "i"},
        ["6.6.13-gentoo"],
    ),
    "Void": ({"boot/vmlinuz-6.6.11_1": "k", "boot/initramfs-6.6.11_1.img": "i"}, ["6.6.11_1"]),
    "Debian's links alone": (
        {
            "vmlinuz": Link("boot/vmlinuz-6.1"),
            "initrd.img": Link("boot/made"),
            "boot/vmlinuz-6.1": "k",
            "boot/made": "i",
        },
        ["6.1"],
    ),
    "files without a release": ({"boot/vmlinuz": "k", "boot/initrd.img": "i"}, ["vmlinuz"]),
    "without an initramfs": ({"boot/vmlinuz-6.1": "k", "usr/lib/modules/6.2/vmlinuz": "k"}, []),
    "none": ({"boot/grub/grub.cfg": ""}, []),
}


@pytest.mark.parametrize("distribution", NAMES)
def test_a_kernel_and_its_initramfs_are_found(tmp_path: Path, distribution: str) -> None:
    tree, releases = NAMES[distribution]
    make_tree(tmp_path, tree)
    found = kernels.found(str(tmp_path))
    assert [each.release for each in found] == releases
    for each in found:
        for path, words in ((each.vmlinuz, "k"), (each.initrd, "i")):
            assert (tmp_path / path).read_text() == words
            with within.opened(str(tmp_path), path):
                pass
