"""Which physical disks a block device lies on, and whether one of them may come and go: from /sys.

A label and a UUID can be given to any stick, and those of a PC's own disks can be read by whoever
has it in his hands. What he cannot have without opening the PC is one of the disks that are built
into it. So a disk is known by what it is, and none that anybody may plug in, or make (a loop
device), is taken by itself. Only /sys is read: nothing of what is on the disk.
"""

from __future__ import annotations

import os

from allie.core.boot.partition_choice import Disk
from allie.machine.files import atomic, tree
from allie.machine.mounts import mount_table

# By their names in /sys/devices/virtual/block. Those that lie on others (device mapper, md, bcache)
# are judged by the others; multipath NVMe is in /sys/devices/virtual/nvme-subsystem, not there.
_VIRTUAL = {
    "loop": "a loop device",
    "nbd": "a disk by network (nbd)",
    "ram": "a disk in memory",
    "zram": "a disk in memory",
}
_UNKNOWN = "of a kind that ALLiE does not know"
_BUSES = {"pcmcia": "a PC card", "memstick": "a memory stick", "firewire": "a FireWire disk"}
# Where a path below /sys/devices goes on with numbers that are given in the order of finding
_COUNTED = ("ata", "host", "virtio", "nvme", "nvme-subsys", "mmc_host", "block", "usb")


def under(number: str, top: str = "/sys") -> list[Disk]:
    """The disks of a device, by its number (`8:1`): one, or several below md, LVM and the like.

    [] where there is no such device.
    """
    found: dict[str, Disk] = {}
    _collect(os.path.realpath(f"{top}/dev/block/{number}"), os.path.realpath(top), found)
    return list(found.values())


def of_root(top: str = "/sys", table: str = "/proc/self/mountinfo", point: str = "/") -> list[Disk]:
    """The disks that `/` lies on; [] where that cannot be told (a file system in memory, ZFS).

    point: where the running system's root is, seen from here.
    """
    there = [each for each in mount_table.parse(_text(table)) if each.point == point]
    if not there:
        return []
    mount = there[-1]  # the one on top
    if not mount.device.startswith("0:"):
        return under(mount.device, top)
    if not mount.source.startswith("/dev/"):
        return []
    name = os.path.basename(os.path.realpath(mount.source))
    found: dict[str, Disk] = {}
    for each in _with_the_same_btrfs(name, top):  # whose own number leads nowhere
        _collect(os.path.realpath(f"{top}/class/block/{each}"), os.path.realpath(top), found)
    return list(found.values())


def is_partition(number: str, top: str = "/sys") -> bool:
    """Whether a device is a partition of a disk, and no volume of a layer between."""
    return os.path.exists(f"{top}/dev/block/{number}/partition")


def appearance(number: str, top: str = "/sys") -> str:
    """A word for a device as long as it is plugged in: its number, and which disk in a row it is.

    Another disk that gets the number later has another word (since Linux 5.15).
    """
    place = os.path.realpath(f"{top}/dev/block/{number}")
    whole = os.path.dirname(place) if os.path.exists(f"{place}/partition") else place
    return f"{number} {_text(f'{whole}/diskseq').strip()}".strip()


def layer_uuid(number: str, top: str = "/sys") -> str:
    """What device mapper or md calls a device, whatever is on it; "" for any other device."""
    place = f"{top}/dev/block/{number}"
    return _text(f"{place}/dm/uuid").strip() or _text(f"{place}/md/uuid").strip()


def _collect(place: str, top: str, found: dict[str, Disk]) -> None:
    """Add the disks below a device's directory; each is looked at once."""
    if os.path.exists(f"{place}/partition"):
        place = os.path.dirname(place)
    if place in found or not place.startswith(f"{top}/devices/") or not os.path.isdir(place):
        return
    slaves = sorted(tree.names(f"{place}/slaves"))
    if slaves:
        for each in slaves:
            _collect(os.path.realpath(f"{place}/slaves/{each}"), top, found)
        return
    found[place] = Disk(os.path.basename(place), _marks(place, top), _why(place, top))


def _why(place: str, top: str) -> str:
    """Why a disk may be anybody's; "" if it is built in."""
    devices = f"{top}/devices"
    if place.startswith(f"{devices}/virtual/block/"):
        return _VIRTUAL.get(os.path.basename(place).rstrip("0123456789"), _UNKNOWN)
    for each in _controllers(place, top):
        while each.startswith(f"{devices}/"):
            why = _why_here(each)
            if why:
                return why
            each = os.path.dirname(each)
    return _why_card(place)


def _why_here(place: str) -> str:
    """Why what hangs here may be pulled out: it is a bus for that, a port, or a drive."""
    name = os.path.basename(place)
    if name.startswith("usb") and name[3:].isdigit():
        return "a USB disk"
    bus = os.path.basename(os.path.realpath(f"{place}/subsystem"))
    if bus in _BUSES:
        return _BUSES[bus]
    if _text(f"{place}/removable").strip() in ("1", "removable"):
        return "a removable disk"
    return ""


def _why_card(place: str) -> str:
    """An MMC is soldered where the kernel says so, or (as before 5.14) where it can boot."""
    kind = _text(f"{place}/device/type").strip()
    if os.path.basename(os.path.realpath(f"{place}/device/subsystem")) != "mmc":
        return ""
    if _text(f"{place}/device/removable").strip() == "fixed":
        return ""
    boot = f"{os.path.basename(place)}boot0"
    is_soldered = any(map(os.path.exists, (f"{place}/{boot}", f"{os.path.dirname(place)}/{boot}")))
    return "" if kind == "MMC" and is_soldered else "a memory card"


def _controllers(place: str, top: str) -> list[str]:
    """A disk's own directory; of an NVMe with several ways, which has none of its own, theirs."""
    if f"{top}/devices/virtual/" not in place:
        return [place]
    above = os.path.dirname(place)
    ways = (f"{above}/{each}" for each in sorted(tree.names(above)) if each.startswith("nvme"))
    return [place, *map(os.path.realpath, filter(os.path.islink, ways))]


def _marks(place: str, top: str) -> tuple[str, ...]:
    """What a disk is known by."""
    found = []
    if os.path.isdir(f"{place}/loop"):
        return (f"loop={_text(f'{place}/loop/backing_file').strip()}",)
    for kind, files in (
        ("wwid", ("wwid", "device/wwid")),
        ("serial", ("serial", "device/serial", "device/cid")),
    ):
        texts = [" ".join(_text(f"{place}/{each}").split()) for each in files]
        found += [f"{kind}={each}" for each in texts if each][:1]
    return (*found, f"path={_path(place, top)}")


def _path(place: str, top: str) -> str:
    """Where a disk hangs, without what another start of the PC may count otherwise."""
    words = []
    below = place[len(f"{top}/devices/") :]
    for each in (below if below.startswith("virtual/") else os.path.dirname(below)).split("/"):
        bare = each.rstrip("0123456789")
        if bare in _COUNTED or (each.count(":") == 1 and "-" in each):  # (a USB interface)
            continue
        port = each.partition("-")
        if port[0].isdigit() and port[2][:1].isdigit():  # a USB port: its bus is counted
            each = f"usb-{port[2]}"
        if each.startswith(("target", "mmc")):  # of SCSI: it is in the next word; a card's slot
            continue
        if each.count(":") == 3 and "." not in each:  # host, channel, target, unit
            each = each.partition(":")[2]
        words.append(each)
    return "/".join(words)


def _with_the_same_btrfs(name: str, top: str) -> list[str]:
    """The devices of the btrfs that a device belongs to; the device alone if of none."""
    for each in sorted(tree.names(f"{top}/fs/btrfs")):
        members = sorted(tree.names(f"{top}/fs/btrfs/{each}/devices"))
        if name in members:
            return members
    return [name]


def _text(path: str) -> str:
    return atomic.read_note(path) or ""
