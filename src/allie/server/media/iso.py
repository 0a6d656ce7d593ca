"""Pack a kernel and an initramfs into an image for a CD or a USB stick, by grub-mkrescue.

It boots by BIOS and by UEFI, as far as this server has GRUB's modules for them.
"""

from __future__ import annotations

import os

from allie.core.errors import StateError, UsageError
from allie.machine.files import atomic
from allie.machine.programs import process

NAME = "installer.iso"
_GRUB = "/usr/lib/grub"
_NEEDED = {
    "grub-mkrescue": "grub-common",
    "xorriso": "xorriso",
    "mformat": "mtools",  # grub-mkrescue makes the EFI system partition with it
}
_PLATFORMS = {"i386-pc": "grub-pc-bin", "x86_64-efi": "grub-efi-amd64-bin"}
_SPECIAL = "\"'\\$;&|<>{}\n"  # that GRUB would not take as they stand


def need_programs() -> None:
    """Raise StateError with the packages that this server lacks."""
    packages = [name for each, name in _NEEDED.items() if not process.has_program(each)]
    packages += [name for each, name in _PLATFORMS.items() if not os.path.isdir(f"{_GRUB}/{each}")]
    if packages:
        hint = f"install here: {' '.join(packages)}; or --no-iso: the kernel and initrd alone"
        raise StateError("an ISO cannot be made on this server", hint)


def menu(name: str, append: str) -> str:
    """The text of its grub.cfg."""
    wrong = sorted(set(append) & set(_SPECIAL))
    if wrong:
        raise UsageError(f"--append: {' '.join(map(repr, wrong))} cannot be in a kernel line")
    line = " ".join(["/boot/vmlinuz", *append.split()])
    return f"""\
set timeout=5
set default=0
terminal_input console
terminal_output console
menuentry "Install with ALLiE ({name})" {{
    echo "Loading the installer ..."
    linux {line}
    initrd /boot/initrd
}}
"""


def make(pair: str, work: str, name: str, append: str) -> None:
    """Add the ISO to the directory of a pair. `work` is made, for its content."""
    text = menu(name, append)
    os.makedirs(f"{work}/boot/grub")
    for each in ("vmlinuz", "initrd"):
        os.link(f"{pair}/{each}", f"{work}/boot/{each}")
    atomic.write(f"{work}/boot/grub/grub.cfg", text, durable=False)
    done = process.run(["grub-mkrescue", "-o", f"{pair}/{NAME}", work, "--", "-volid", "ALLIE"])
    if done.code != 0:
        raise StateError(f"grub-mkrescue failed: {done.last_words()}", done.command)
