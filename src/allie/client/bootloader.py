"""Put GRUB on a disk, for BIOS and for UEFI, by the programs of the system that is installed.

What it boots is the menu on the boot partition (client.bootmenu), which it finds by its label: GRUB
itself is installed once, and never again for a new kernel or system.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from allie.core import menu
from allie.core.errors import StateError
from allie.machine import atomic, mounting, process

_MODULES = "part_gpt ext2 search search_label loadenv configfile normal linux test echo"
_BIOS, _UEFI = "/usr/lib/grub/i386-pc", "/usr/lib/grub/x86_64-efi"
_START = f"search --no-floppy --set=root --label {menu.LABEL}\n" + (
    "set prefix=($root)/grub\nconfigfile ($root)/grub/grub.cfg\n"
)


def install(root: str, boot: str, disk: str, esp: str | None) -> None:
    """GRUB on a disk whose boot partition is mounted at `boot`; the programs are those of `root`.

    BIOS where the root has GRUB's i386-pc part, UEFI where it has x86_64-efi and an ESP is given
    (its device). Raises StateError where it can do neither, ProgramFailed where GRUB fails.
    """
    has_bios, has_uefi = (os.path.isdir(root.rstrip("/") + each) for each in (_BIOS, _UEFI))
    if not has_bios and not (has_uefi and esp):
        raise StateError(f"the system in {root} has no GRUB", "install grub-pc-bin, grub-efi-*-bin")
    with _furnished(root, boot) as inside:
        if has_bios:
            argv = ["grub-install", "--target=i386-pc", f"--boot-directory={inside}"]
            process.run(_in(root, [*argv, f"--modules={_MODULES}", disk]), check=True)
        if has_uefi and esp:
            atomic.write(f"{boot}/grub/early.cfg", _START)
            argv = ["grub-mkstandalone", "-O", "x86_64-efi", "-o", f"{inside}/grub/bootx64.efi"]
            argv += [f"--modules={_MODULES} fat", f"boot/grub/grub.cfg={inside}/grub/early.cfg"]
            process.run(_in(root, argv), check=True)
            _to_esp(root, f"{inside}/grub/bootx64.efi", esp)
            for name in ("early.cfg", "bootx64.efi"):
                atomic.remove(f"{boot}/grub/{name}")
    atomic.sync_filesystem(boot)


def _in(root: str, argv: list[str]) -> list[str]:
    return argv if root == "/" else ["chroot", root, *argv]


def _to_esp(root: str, image: str, esp: str) -> None:
    """Copy to the name that every firmware tries; mtools needs no kernel that mounts FAT."""
    for directory in ("::/EFI", "::/EFI/BOOT"):
        process.run(_in(root, ["mmd", "-D", "s", "-i", esp, directory]))  # it may be there
    argv = ["mcopy", "-o", "-i", esp, image, "::/EFI/BOOT/BOOTX64.EFI"]
    process.run(_in(root, argv), check=True)


@contextmanager
def _furnished(root: str, boot: str) -> Iterator[str]:
    """The root with /dev, /proc, /sys and the boot partition; where that is, seen from inside."""
    os.makedirs(f"{boot}/grub", 0o755, exist_ok=True)
    if root == "/":
        yield boot
        return
    mounting.become_private()
    at = f"{root}/mnt"
    with ExitStack() as stack:
        for source, target in (("/dev", "dev"), ("/proc", "proc"), ("/sys", "sys"), (boot, "mnt")):
            place = f"{root}/{target}"
            if os.path.islink(place) or not os.path.isdir(place):
                raise StateError(f"{place} is no directory", "make it one")
            if not mounting.mount(source, place, "", mounting.BIND | mounting.REC):
                raise StateError(f"cannot mount {source} on {place}", "run this as root")
            stack.callback(mounting.unmount, place)
        yield at[len(root) :]
