"""Install: from an empty disk to a PC that boots a system from the store, current at once.

    check → partition → file systems → image → fit → first tick → boot loader and menu

It runs on any live Linux. A directory in /run stands for the PC that is to be: the system is
brought to it as a PC brings a further one (`systems.new_system`). Each step looks at what is there,
so the same command goes on after a failure. It writes on the named disk alone.
"""

from __future__ import annotations

import os
import time
from _collections_abc import Iterable

from allie.client.boot import menu_partition
from allie.client.setup import join
from allie.client.situation import bound_disks, settings_in_force
from allie.client.systems import new_system
from allie.client.systems.new_system import Job
from allie.client.tick import timer
from allie.core.boot import disk_layout
from allie.core.boot.disk_layout import PlannedPartition
from allie.core.conf import settings_text
from allie.core.conf.settings import Declared, Settings
from allie.core.errors import StateError, UsageError
from allie.core.system import System
from allie.core.value import Value
from allie.machine.disk import file_systems, labelled, partition_table
from allie.machine.disk.partition_table import Partition
from allie.machine.files import atomic, tree
from allie.machine.mounts import mount_table
from allie.machine.programs import process
from allie.machine.roots import open_system, within

_HERE = "/run/allie/install"  # stands for the PC
_FAT32 = 34 << 11  # sectors, of one cluster each, that FAT32 must have
_NODES = 10.0  # seconds within which the kernel's names of the partitions appear
_PROGRAMS = {  # for apt, dnf, pacman, zypper they are in the packages of these names
    "sfdisk": "fdisk, util-linux",
    "partx": "util-linux",
    "blkid": "util-linux",
    "mkswap": "util-linux",
    "mkfs.ext4": "e2fsprogs",
    "mkfs.vfat": "dosfstools",
    "rsync": "rsync",
}


class Installation(Value):
    """What is to be done; showing it changes nothing."""

    disk: str
    mib: int
    partitions: tuple[PlannedPartition, ...]
    content: str  # what would be lost; "" for an empty disk, or where an earlier try goes on
    goes_on: bool  # the disk is divided like this already
    settings: Settings
    host: str

    @property
    def own(self) -> Declared:
        """The system, as the PC's others see it."""
        own = self.settings
        return Declared(own.system, own.root, own.image, own.overlays)


class Bootable(Value):
    """For which firmware the disk boots now, and what is left to do on the server."""

    firmware: list[str]
    own: list[str]  # of the door that has what is the PC's own, lines for people


def plan(disk: str, text: str, settings: Settings, host: str) -> Installation:
    """Look at the disk. Raises UsageError or StateError where it cannot be installed on.

    text: the layout. settings: of the system that is to be; its root is found here.
    """
    missing = [name for name in _PROGRAMS if not process.has_program(name)]
    if missing:
        packages = " ".join(dict.fromkeys(_PROGRAMS[name] for name in missing))
        raise StateError(f"missing here: {' '.join(missing)}", f"install {packages}")
    disk = os.path.realpath(disk)
    sysfs = f"/sys/class/block/{os.path.basename(disk)}"
    if not disk.startswith("/dev/") or not os.path.isdir(sysfs):
        raise UsageError(f"{disk} is no disk of this machine", "lsblk -d shows them")
    if os.path.exists(f"{sysfs}/partition"):
        raise UsageError(f"{disk} is a partition", "name the whole disk")
    _check_unused(disk, sysfs)
    mib = int(atomic.read(f"{sysfs}/size") or "0") >> 11
    planned = disk_layout.fit(text, mib)
    present = partition_table.read(disk)
    _check_names(disk, present, planned)
    if any(each.kind in (disk_layout.ESP, disk_layout.EFI_BOOT) for each in planned):
        _need_fat()
    first = next(each for each in planned if each.kind == disk_layout.SYSTEM)
    wanted = [(each.name, each.mib) for each in planned]
    goes_on = [(each.name, each.mib) for each in present] == wanted
    content = "" if goes_on else _content([disk, *_there(present)])
    settings = settings._replace(root=first.where)
    return Installation(disk, mib, planned, content, goes_on, settings, host)


def need_consent(plan: Installation, *, erase: bool) -> None:
    """Raise StateError where the disk holds something, and nobody has said that it may go."""
    if plan.content and not erase:
        raise StateError(f"{plan.disk} holds something: {plan.content}", "if it may go: --erase")


def partition(plan: Installation) -> None:
    """Divide the disk, and make the file systems that are not there yet."""
    if not plan.goes_on:
        there = _there(partition_table.read(plan.disk))
        process.run(["wipefs", "--all", "--quiet", *there, plan.disk], check=True)
        argv = ["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", "--wipe", "always"]
        argv += ["--wipe-partitions", "always", plan.disk]
        process.run(argv, stdin=disk_layout.script(plan.partitions).encode(), check=True)
    _have_nodes(plan)
    for planned, made in zip(plan.partitions, partition_table.read(plan.disk)):
        _make(planned, made)


def bring(plan: Installation) -> None:
    """Fetch the image, make it this PC's own, and run its first tick."""
    os.makedirs(_HERE, 0o700, exist_ok=True)
    try:
        pc = _stand_in(plan)
        bound_disks.trust(pc, plan.own, _node(plan, plan.settings.root))
        new_system.bring(Job(pc, plan.settings, plan.own))
    finally:
        if not mount_table.at_or_below(_HERE + "/"):
            tree.remove(_HERE)


def make_bootable(plan: Installation) -> Bootable:
    """Put the boot loader and the menu on the disk."""
    made = partition_table.read(plan.disk)
    nodes = {planned.kind: each.node for planned, each in zip(plan.partitions, made)}
    menu = nodes.get(disk_layout.BOOT) or nodes[disk_layout.EFI_BOOT]
    esp = nodes.get(disk_layout.ESP, "")
    own = _node(plan, plan.settings.root)
    with file_systems.passing(own, "/run/allie/installed", file_systems.AS_NEW) as root:
        here = open_system.open_system(root)
        if within.program(root, "ssh-keygen"):
            process.run(["chroot", root, "ssh-keygen", "-A"])  # keys of its own, where it has none
        settings = settings_in_force.settings_of(here)
        timer.install(here, settings.host)
        with menu_partition.opened(here, menu) as boot:
            menu_partition.refresh(here, settings, boot)
            firmware = menu_partition.loader_of(boot).install(root, plan.disk, esp)
        about = join.about_own(here)
        atomic.sync_filesystem(root)
    return Bootable(firmware, about)


def _node(plan: Installation, where: str) -> str:
    """The device of a partition of the disk, by its place: others may have the label."""
    pairs = zip(plan.partitions, partition_table.read(plan.disk))
    return next(made.node for planned, made in pairs if planned.where == where)


def _stand_in(plan: Installation) -> System:
    """A directory that says of the PC what its first system is to have of it."""
    hosts = f"127.0.0.1 localhost\n127.0.1.1 {plan.host}\n::1 localhost ip6-localhost\n"
    texts = {
        "etc/hostname": f"{plan.host}\n",
        "etc/hosts": hosts,
        "etc/fstab": disk_layout.fstab(plan.partitions),
        "etc/allie/allie.conf": settings_text.render(plan.settings),
        "etc/allie/system": f"{plan.settings.system}\n",
    }
    for path, text in texts.items():
        os.makedirs(os.path.dirname(f"{_HERE}/{path}"), exist_ok=True)
        atomic.write(f"{_HERE}/{path}", text, durable=False)
    return open_system.open_system(_HERE)


def _need_fat() -> None:
    """Raise StateError where this Linux cannot mount what UEFI boots from."""
    if not file_systems.can_mount("vfat"):
        raise StateError(
            "this Linux has no vfat, which the EFI system partition is",
            "start another medium; or, for a PC that boots by BIOS, a layout without esp: --layout",
        )


def _there(partitions: list[Partition]) -> list[str]:
    """Of a disk's partitions the device files that the kernel has made."""
    return [each.node for each in partitions if os.path.exists(each.node)]


def _check_unused(disk: str, sysfs: str) -> None:
    """Raise StateError if the disk, or a partition of it, is mounted or used by something."""
    own = [sysfs, *(f"{sysfs}/{name}" for name in os.listdir(sysfs))]
    own = [each for each in own if os.path.exists(f"{each}/dev")]
    numbers = {(atomic.read(f"{each}/dev") or "").strip() for each in own}
    nodes = {f"/dev/{os.path.basename(each)}" for each in own}
    for mount in mount_table.parse(mount_table.read()):
        if mount.device in numbers or os.path.realpath(mount.source) in nodes:
            raise StateError(f"{disk} is in use: mounted on {mount.point}", f"umount {mount.point}")
    for line in (atomic.read("/proc/swaps") or "").splitlines()[1:]:
        if os.path.realpath(line.split()[0]) in nodes:
            raise StateError(f"{disk} is in use: swap on {line.split()[0]}", "swapoff it")
    for each in own:
        holders = os.listdir(f"{each}/holders") if os.path.isdir(f"{each}/holders") else []
        if holders:
            raise StateError(
                f"{disk} is in use: /dev/{os.path.basename(each)} is part of {' '.join(holders)}",
                "take it out of there (mdadm, vgchange, cryptsetup)",
            )


def _check_names(disk: str, present: list[Partition], wanted: Iterable[PlannedPartition]) -> None:
    """Raise StateError where another disk has a label of ours: nobody could tell them apart.

    All of them: what is mounted as /home, or swapped to, is found by its label as well.
    """
    own = [disk, *(each.node for each in present)]
    for each in wanted:
        if each.kind != disk_layout.BIOS:  # which nobody looks for
            others = [node for node in labelled.names(each.where) if node not in own]
            if others:
                words = f"another disk of this PC has {each.where}: {' '.join(others)}"
                raise StateError(words, "take it out, or change its label")


def _content(nodes: list[str]) -> str:
    """What a disk and its partitions hold, in words; "" if nothing."""
    found = []
    for node in nodes:
        words = file_systems.contents(node)
        what = words.get("TYPE") or words.get("PTTYPE")
        if what:
            found.append(f"{node}: {what} {words.get('LABEL', '')}".rstrip())
    return ", ".join(found)


def _have_nodes(plan: Installation) -> None:
    """Have the kernel know the partitions, and wait for their device files."""
    process.run(["partx", "--update", plan.disk], check=True)
    deadline = time.monotonic() + _NODES
    wanted = [each.node for each in partition_table.read(plan.disk)]
    while not all(map(os.path.exists, wanted)):
        if time.monotonic() > deadline:
            missing = f"the partitions of {plan.disk} do not appear in /dev"
            raise StateError(missing, "is udev here?")
        time.sleep(0.1)


def fat_options(sectors: int) -> list[str]:
    """Which FAT: with fewer clusters than this one it is 16 for who counts, whatever its head says.

    With sectors of 4096 bytes that is any below 272 MiB. Firmware reads both.
    """
    return ["-F", "32"] if sectors >= _FAT32 else []


def _make(planned: PlannedPartition, made: Partition) -> None:
    """Make a file system where there is none."""
    node, label = made.node, planned.label
    fat = ["mkfs.vfat", *fat_options(made.size), "-n", label]
    argv = {
        disk_layout.ESP: fat,
        disk_layout.EFI_BOOT: fat,
        disk_layout.SWAP: ["mkswap", "-q", "-L", label],
    }.get(planned.kind, ["mkfs.ext4", "-q", "-F", *(["-L", label] if label else [])])
    if planned.kind != disk_layout.BIOS and "TYPE" not in file_systems.contents(node):
        process.run([*argv, node], check=True)
