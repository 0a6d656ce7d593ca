"""Find the kernels that a system can boot: those in its /boot that have an initramfs."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from allie.core import menu
from allie.core.errors import AllieError, StateError
from allie.core.value import Value
from allie.machine import paths, within

_KERNEL = r"vmlinu[xz]-([A-Za-z0-9][A-Za-z0-9._+~-]*)"
_MOST = 1 << 14  # bytes of a command line
_INITRDS = ("initrd.img-{}", "initramfs-{}.img", "initrd-{}")  # Debian's, Fedora's, openSUSE's


class Kernel(Value):
    """A kernel of a system, and where its files are."""

    release: str
    vmlinuz: str
    initrd: str


@contextmanager
def opened(root: str, path: str) -> Iterator[int]:
    """A file of a root, by the path as `found` gives it: regular, reached through no link.

    Raises StateError, PathRefused.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with paths.parent_descriptor(root, path[len(root.rstrip("/")) + 1 :]) as (above, name):
            file = os.open(name, flags, dir_fd=above)
    except OSError as error:
        raise StateError(f"cannot read {path}: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise StateError(f"{path} is no regular file", "put the kernel there, or remove it")
        yield file
    finally:
        os.close(file)


def cmdline(root: str) -> str:
    """What a root's /etc/kernel/cmdline says; "" where it has none that can be read."""
    inside = paths.Inside(root)
    try:
        with opened(root, inside.prefix + inside.file("etc/kernel/cmdline")) as file:
            return os.read(file, _MOST).decode(errors="surrogateescape")
    except (AllieError, OSError):
        return ""


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
