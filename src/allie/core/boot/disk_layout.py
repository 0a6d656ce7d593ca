"""How a disk is divided: a layout (INI) and the disk's size in, partitions out; no I/O.

    [layout]
    boot = 1G
    system1 = 20% 64G      ; a share of the disk, and no more than
    share = rest

The names boot, esp, swap, home and share mean what they say, and any other is a place for a system.
With `loader = systemd-boot` the boot partition is the EFI system partition, too.
"""

from __future__ import annotations

import configparser
import re

from allie.core.conf import system_roots
from allie.core.errors import SettingsError
from allie.core.value import Value

DEFAULT = """\
[layout]
esp = 256M
boot = 5% 1G
system1 = 20% 64G
system2 = 20% 64G
system3 = 20% 64G
swap = 4% 16G
share = rest
"""
BIOS, ESP, BOOT, SYSTEM, SWAP, HOME, SHARE = "bios esp boot system swap home share".split()
EFI_BOOT = "efi-boot"  # boot and esp in one
GRUB, SYSTEMD_BOOT = "grub", "systemd-boot"  # what `loader` may be
_KINDS = (ESP, BOOT, SWAP, HOME, SHARE)
_LEAST = {ESP: 34, BOOT: 128, EFI_BOOT: 128, SYSTEM: 512, SWAP: 16, HOME: 16, SHARE: 16}  # MiB
_EDGES = 2  # MiB at the ends of a disk: GPT's tables, and alignment
_SIZE = r"([1-9][0-9]{0,8})([MGT])"
_SHARE = r"([1-9][0-9]?)%"
TYPES = {  # GPT's
    BIOS: "21686148-6449-6E6F-744E-656564454649",
    ESP: "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
    SWAP: "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F",
}
TYPES[EFI_BOOT] = TYPES[ESP]
_LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"


class PlannedPartition(Value):
    """One partition of a layout, as it is to be on a disk of a known size."""

    kind: str
    name: str  # its PARTLABEL
    mib: int

    @property
    def label(self) -> str:
        """The label of its file system; "" where the partition's own name is what counts."""
        labels = {
            ESP: "ALLIE-ESP",
            BOOT: system_roots.BOOT_LABEL,
            EFI_BOOT: system_roots.BOOT_LABEL,
            SWAP: "swap",
            HOME: "home",
            SHARE: "share",
        }
        return labels.get(self.kind, "")

    @property
    def where(self) -> str:
        """How it is found: LABEL=, or PARTLABEL=."""
        return f"LABEL={self.label}" if self.label else f"PARTLABEL={self.name}"


def fit(text: str, disk: int) -> tuple[PlannedPartition, ...]:
    """The partitions of a layout on a disk of so many MiB. Raises SettingsError."""
    wanted, loader = _read(text)
    planned = [PlannedPartition(BIOS, "allie-bios", 1)] if loader == GRUB else []
    rest = [name for name, size in wanted.items() if size == "rest"]
    if len(rest) > 1:
        raise SettingsError(f"the layout gives the rest of the disk to {' and '.join(rest)}")
    sizes = {name: _mib(name, size, disk) for name, size in wanted.items() if size != "rest"}
    left = disk - _EDGES - len(planned) - sum(sizes.values())
    for name in wanted:
        kind = name if name in _KINDS else SYSTEM
        kind = EFI_BOOT if kind == BOOT and loader == SYSTEMD_BOOT else kind
        mib = sizes.get(name, left)
        if mib < _LEAST[kind]:
            words = f"the disk has {disk} MiB: {max(mib, 0)} MiB for {name} are too little"
            hint = "give a layout with fewer or smaller partitions: --layout FILE"
            raise SettingsError(f"{words} ({_LEAST[kind]} at least)", hint)
        planned.append(PlannedPartition(kind, name if kind == SYSTEM else f"allie-{name}", mib))
    if left < 0:
        raise SettingsError(f"the layout needs {disk - left} MiB, and the disk has {disk}")
    return tuple(planned)


def script(partitions: tuple[PlannedPartition, ...]) -> str:
    """What sfdisk(8) is told.

    >>> print(script((PlannedPartition("system", "system1", 900),)), end="")
    label: gpt
    size=900MiB, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name="system1"
    """
    lines = [
        f'size={each.mib}MiB, type={TYPES.get(each.kind, _LINUX)}, name="{each.name}"'
        for each in partitions
    ]
    return "\n".join(["label: gpt", *lines]) + "\n"


def fstab(partitions: tuple[PlannedPartition, ...]) -> str:
    """What every system of the PC mounts beside its own root."""
    lines = {
        SWAP: "LABEL=swap none swap sw,nofail 0 0",
        HOME: "LABEL=home /home ext4 defaults,nofail 0 2",
        SHARE: "LABEL=share /share ext4 defaults,nofail 0 2",
    }
    return "".join(f"{lines[each.kind]}\n" for each in partitions if each.kind in lines)


def _read(text: str) -> tuple[dict[str, str], str]:
    """The partitions and the loader, checked for what does not depend on the disk."""
    ini = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=(";",))
    try:
        ini.read_string(text, "layout")
    except configparser.Error as error:
        raise SettingsError(" ".join(str(error).split())) from error
    if not ini.has_section("layout"):
        raise SettingsError("the layout has no section [layout]")
    wanted = {name: " ".join(size.split()) for name, size in ini["layout"].items()}
    loader = wanted.pop("loader", GRUB)
    if loader not in (GRUB, SYSTEMD_BOOT):
        raise SettingsError(f"the layout: loader = {loader}", f"{GRUB} or {SYSTEMD_BOOT}")
    if loader == SYSTEMD_BOOT and ESP in wanted:
        words = "the layout has an esp: with systemd-boot the boot partition is that"
        raise SettingsError(words, "leave esp out")
    for name in wanted:
        if not re.fullmatch("[a-z0-9][a-z0-9.-]{0,30}", name) or name.startswith("allie-"):
            raise SettingsError(f"the layout: {name!r} is no name for a partition")
    if BOOT not in wanted:
        raise SettingsError("the layout has no boot partition", "boot = 1G")
    if set(wanted) <= set(_KINDS):
        raise SettingsError("the layout has no place for a system", "system1 = 20G")
    return wanted, loader


def _mib(name: str, text: str, disk: int) -> int:
    """A size in MiB: `20G`, `20%`, or the smaller of the two, `20% 64G`."""
    found = []
    for word in text.split():
        size, share = re.fullmatch(_SIZE, word), re.fullmatch(_SHARE, word)
        if size:
            found.append(int(size[1]) << {"M": 0, "G": 10, "T": 20}[size[2]])
        elif share:
            found.append(disk * int(share[1]) // 100)
        else:
            raise SettingsError(f"the layout: {name} = {text}", "20G, 20%, 20% 64G, or rest")
    if not found:
        raise SettingsError(f"the layout: {name} has no size", "20G, 20%, 20% 64G, or rest")
    return min(found)
