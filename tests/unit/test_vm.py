"""`allie vm`: QEMU's command line, and which kernel is booted."""

from __future__ import annotations

from pathlib import Path

import pytest

from allie.client.use import vm
from allie.machine.roots import kernels

MACHINE = vm.VirtualMachine("/dev/sda3", "/k", "/i", "/log", 768, 2)


@pytest.mark.parametrize(
    "accel, first",
    [("kvm", ["kvm", "-cpu", "host"]), ("tcg", ["tcg,thread=multi", "-cpu", "qemu64"])],
)
def test_the_command_line(accel: str, first: list[str]) -> None:
    line = vm.argv(MACHINE, accel)
    assert line[:5] == ["qemu-system-x86_64", "-accel", *first]
    assert line[line.index("-drive") + 1] == "file=/dev/sda3,format=raw,if=virtio,snapshot=on"
    assert line[line.index("-m") + 1] == "768"
    assert "console=ttyS0" in line[line.index("-append") + 1]


def test_the_newest_kernel_that_has_an_initrd(tmp_path: Path) -> None:
    boot = tmp_path / "boot"
    boot.mkdir()
    for name in ("vmlinuz-6.9.1", "initrd.img-6.9.1", "vmlinuz-6.10.2", "initramfs-6.10.2.img"):
        (boot / name).touch()
    (boot / "vmlinuz-7.0").touch()
    newest = kernels.found(str(tmp_path))[0]
    assert newest == ("6.10.2", "boot/vmlinuz-6.10.2", "boot/initramfs-6.10.2.img")


def test_no_kernel(tmp_path: Path) -> None:
    assert kernels.found(str(tmp_path)) == []
