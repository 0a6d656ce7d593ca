"""Find the kernels that a system can boot: those in its /boot that have an initramfs."""

from __future__ import annotations

import os
import re

from allie.core import menu
from allie.core.errors import AllieError
from allie.core.value import Value
from allie.machine import paths, within

_KERNEL = r"vmlinu[xz]-([A-Za-z0-9][A-Za-z0-9._+~-]*)"
_INITRDS = ("initrd.img-{}", "initramfs-{}.img", "initrd-{}")  # Debian's, Fedora's, openSUSE's


class Kernel(Value):
    """A kernel of a system, and where its files are."""

    release: str
    vmlinuz: str
    initrd: str


def found(root: str) -> list[Kernel]:
    """The kernels of a root, newest first; where /boot has none, the one that /vmlinuz leads to."""
    inside = paths.Inside(root)
    try:
        names = set(os.listdir(inside.prefix + inside.directory("boot").real))
    except (AllieError, OSError):
        names = set()
    kernels = []
    for name in names:
        match = re.fullmatch(_KERNEL, name)
        initrds = [each.format(match[1]) for each in _INITRDS] if match else []
        initrd = next((each for each in initrds if each in names), "")
        if match and initrd and "rescue" not in match[1]:
            ours = [f"boot/{name}", f"boot/{initrd}"]
            if all(within.is_file(root, each) for each in ours):
                files = [inside.prefix + inside.file(each) for each in ours]
                kernels.append(Kernel(match[1], *files))
    if not kernels:
        files = [inside.prefix + inside.file(each) for each in ("vmlinuz", "initrd.img")]
        match = re.fullmatch(_KERNEL, os.path.basename(files[0]))
        if all(within.is_file(root, each) for each in ("vmlinuz", "initrd.img")):
            kernels.append(Kernel(match[1] if match else "vmlinuz", *files))
    return sorted(kernels, key=lambda each: menu.newest_first(each.release), reverse=True)
