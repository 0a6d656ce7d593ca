"""Find the kernels that a system can boot, with their initramfs, by every distribution's names."""

from __future__ import annotations

import os
import re

from allie.core.boot import menu
from allie.core.errors import AllieError
from allie.core.value import Value
from allie.machine.roots import paths, within

_RELEASE = r"[A-Za-z0-9][A-Za-z0-9._+~-]*"
_KERNEL = rf"(?:vmlinu[xz]|kernel|[bz]?Image)-({_RELEASE})"  # the last of them not on x86
_MOST = 1 << 14  # bytes of a command line
_INITRDS = (
    "initrd.img-{}",  # Debian's and Ubuntu's
    "initramfs-{}.img",  # Fedora's, Arch's, Void's, Gentoo's
    "initrd-{}",  # SUSE's
    "initramfs-{}",  # Alpine's
    "initrd-{}.img",  # EL 5's, Mageia's
    "booster-{}.img",  # Arch's other one
)
_MODULES = "usr/lib/modules"  # SUSE, Fedora and Arch have kernels there, perhaps there alone
_BESIDE = ("initramfs.img", "initramfs", "initrd")  # of a kernel there, in Fedora's image builds
_NAMELESS = (  # by links that name no release
    ("vmlinuz", "initrd.img"),
    ("boot/vmlinuz", "boot/initrd"),
    ("boot/vmlinuz", "boot/initrd.img"),
    ("boot/vmlinuz", "boot/initramfs.img"),
)
_NEVER = ("rescue", "fallback")


class Kernel(Value):
    """A kernel of a system, and where its files are: real paths, relative to the system's root."""

    release: str
    vmlinuz: str
    initrd: str


def cmdline(root: str) -> str:
    """What a root's /etc/kernel/cmdline says; "" where it has none that can be read."""
    try:
        with within.opened(root, "etc/kernel/cmdline") as file:
            return os.read(file, _MOST).decode(errors="surrogateescape")
    except (AllieError, OSError):
        return ""


def releases(root: str) -> list[str]:
    """Of which kernels a root has the modules, else which /boot names, newest first.

    With or without an initramfs: `found` has those that can be booted as they are.
    """
    start = "vmlinuz-"
    in_boot = (name for name in within.names(root, "boot") if name.startswith(start))
    there = within.names(root, "lib/modules") or [name[len(start) :] for name in in_boot]
    return sorted(there, key=menu.newest_first, reverse=True)


def found(root: str) -> list[Kernel]:
    """The kernels of a root that have an initramfs, newest first.

    Those that /boot names by a release; those of /usr/lib/modules that it has not; those of
    /boot/MACHINE-ID, where kernel-install(8) puts them; else the one that a link leads to.
    """
    known = _by_release(root) or _nameless(root)
    return sorted(known, key=lambda each: menu.newest_first(each.release), reverse=True)


def _by_release(root: str) -> list[Kernel]:
    boot = within.names(root, "boot")
    pairs: dict[str, list[tuple[str, str]]] = {}  # of kernel and initramfs, by release
    for name in boot:
        match = re.fullmatch(_KERNEL, name)
        if match:
            pairs.setdefault(match[1], []).extend(_with_initrds(f"boot/{name}", match[1]))
    for release in within.names(root, _MODULES):
        at = f"{_MODULES}/{release}"
        beside = [(f"{at}/vmlinuz", f"{at}/{each}") for each in _BESIDE]
        found_there = _with_initrds(f"{at}/vmlinuz", release) + beside
        pairs.setdefault(release, []).extend(found_there)
    for identity in filter(_is_machine_id, boot):
        for release in within.names(root, f"boot/{identity}"):
            at = f"boot/{identity}/{release}"
            pairs.setdefault(release, []).append((f"{at}/linux", f"{at}/initrd"))
    kernels = (
        next(filter(None, (_kernel(root, release, *pair) for pair in pairs[release])), None)
        for release in pairs
        if re.fullmatch(_RELEASE, release) and not any(each in release for each in _NEVER)
    )
    return [each for each in kernels if each]


def _nameless(root: str) -> list[Kernel]:
    for pair in _NAMELESS:
        kernel = _kernel(root, "vmlinuz", *pair)
        if kernel:
            match = re.fullmatch(_KERNEL, os.path.basename(kernel.vmlinuz))
            return [kernel._replace(release=match[1] if match else "vmlinuz")]
    return []


def _with_initrds(kernel: str, release: str) -> list[tuple[str, str]]:
    return [(kernel, f"boot/{each.format(release)}") for each in _INITRDS]


def _kernel(root: str, release: str, vmlinuz: str, initrd: str) -> Kernel | None:
    """A kernel, if both its files are there; links are followed inside the root."""
    if not all(within.is_file(root, each) for each in (vmlinuz, initrd)):
        return None
    return Kernel(release, *(paths.Inside(root).file(each) for each in (vmlinuz, initrd)))


def _is_machine_id(name: str) -> bool:
    return re.fullmatch("[0-9a-f]{32}", name) is not None
