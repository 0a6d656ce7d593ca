"""Which disks may be anybody's, from /sys as the kernel shows it: as tables of trees."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from allie.machine.disk import physical

PCI = "pci0000:00/0000:00"
SATA = f"{PCI}:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sda"
SATA2 = f"{PCI}:17.0/ata2/host1/target1:0:0/1:0:0:0/block/sdb"
USB = f"{PCI}:14.0/usb2/2-3/2-3:1.0/host6/target6:0:0/6:0:0:0/block/sdc"
NVME = f"{PCI}:1d.0/0000:3d:00.0/nvme/nvme0/nvme0n1"
DOCK = f"{PCI}:07.0/0000:20:00.0/0000:21:02.0/nvme/nvme1/nvme1n1"
WAYS = "virtual/nvme-subsystem/nvme-subsys0"
SD = f"{PCI}:1a.0/mmc_host/mmc0/mmc0:0001/block/mmcblk0"
EMMC = "platform/80860F14:00/mmc_host/mmc1/mmc1:0001/block/mmcblk1"
FIREWIRE = f"{PCI}:0b.0/fw1/fw1.0/host7/target7:0:0/7:0:0:0/block/sdd"
CARD = f"{PCI}:0c.0/0.0/ata9/host8/target8:0:0/8:0:0:0/block/sde"
VIRTUAL = "virtual/block"


class Sys:
    """A /sys in a directory."""

    def __init__(self, top: Path) -> None:
        self.top = str(top)
        for name in ("devices", "dev/block", "class/block", "bus"):
            (top / name).mkdir(parents=True)
        self.numbers = 0

    def block(self, path: str, *slaves: str) -> str:
        """A block device, perhaps upon others; its number. A partition is below its disk."""
        place = Path(self.top, "devices", path)
        place.mkdir(parents=True)
        self.numbers += 1
        number = f"8:{self.numbers}"
        Path(self.top, "dev/block", number).symlink_to(place)
        Path(self.top, "class/block", place.name).symlink_to(place)
        if place.parent.joinpath("slaves").is_dir():
            place.joinpath("partition").write_text("1\n")
            return number
        place.joinpath("slaves").mkdir()
        if "/block/" in path and "virtual" not in path:
            place.joinpath("device").symlink_to("../..")
        for each in slaves:
            name = os.path.basename(each)
            place.joinpath("slaves", name).symlink_to(Path(self.top, "devices", each))
        return number

    def put(self, path: str, text: str) -> None:
        """A file below devices."""
        place = Path(self.top, "devices", path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text + "\n")

    def on_bus(self, path: str, bus: str) -> None:
        """Say of a directory what bus it is on."""
        Path(self.top, "bus", bus).mkdir(exist_ok=True)
        Path(self.top, "devices", path, "subsystem").symlink_to(Path(self.top, "bus", bus))

    def whys(self, number: str) -> list[str]:
        return [each.why for each in physical.under(number, self.top)]


@pytest.fixture
def sys(tmp_path: Path) -> Sys:
    return Sys(tmp_path / "sys")


@pytest.mark.parametrize(
    ("path", "files", "buses", "why"),
    [
        pytest.param(SATA, {f"{SATA}/removable": "0"}, {}, "", id="sata"),
        pytest.param(NVME, {f"{NVME}/removable": "0"}, {}, "", id="nvme"),
        pytest.param(f"{PCI}:04.0/virtio1/block/vda", {}, {}, "", id="virtio"),
        pytest.param("vbd-51712/block/xvda", {}, {}, "", id="xen"),
        pytest.param("css0/0.0.0001/0.0.1234/block/dasda", {}, {}, "", id="dasd"),
        pytest.param(USB, {f"{USB}/removable": "0"}, {}, "a USB disk", id="usb that says fixed"),
        pytest.param(
            "platform/vhci_hcd.0/usb3/3-1/3-1:1.0/host9/target9:0:0/9:0:0:0/block/sdx",
            {},
            {},
            "a USB disk",
            id="usb over a network",
        ),
        pytest.param(SATA, {f"{SATA}/removable": "1"}, {}, "a removable disk", id="removable"),
        pytest.param(
            DOCK,
            {f"{PCI}:07.0/0000:20:00.0/removable": "removable"},
            {},
            "a removable disk",
            id="nvme in a dock (Thunderbolt)",
        ),
        pytest.param(
            DOCK, {f"{PCI}:07.0/0000:20:00.0/removable": "fixed"}, {}, "", id="a port that is fixed"
        ),
        pytest.param(
            DOCK, {f"{PCI}:07.0/0000:20:00.0/removable": "unknown"}, {}, "", id="a port, unknown"
        ),
        pytest.param(
            FIREWIRE, {}, {f"{PCI}:0b.0/fw1": "firewire"}, "a FireWire disk", id="firewire"
        ),
        pytest.param(CARD, {}, {f"{PCI}:0c.0/0.0": "pcmcia"}, "a PC card", id="pcmcia"),
        pytest.param(
            SD,
            {f"{SD}/../../type": "SD"},
            {f"{SD}/../..": "mmc"},
            "a memory card",
            id="sd, old kernel",
        ),
        pytest.param(
            SD,
            {f"{SD}/../../type": "MMC"},
            {f"{SD}/../..": "mmc"},
            "a memory card",
            id="an mmc in a slot, old kernel",
        ),
        pytest.param(
            SD,
            {f"{SD}/../../type": "MMC", f"{SD}/../../removable": "removable"},
            {f"{SD}/../..": "mmc"},
            "a removable disk",
            id="an mmc in a slot",
        ),
        pytest.param(
            SD,
            {f"{SD}/../../type": "SD", f"{SD}/../../removable": "fixed"},
            {f"{SD}/../..": "mmc"},
            "",
            id="sd that is soldered",
        ),
        pytest.param(
            EMMC,
            {f"{EMMC}/../../type": "MMC", f"{EMMC}/mmcblk1boot0/ro": "1"},
            {f"{EMMC}/../..": "mmc"},
            "",
            id="emmc, old kernel",
        ),
        pytest.param(
            EMMC,
            {f"{EMMC}/../../type": "MMC", f"{EMMC}/../../removable": "fixed"},
            {f"{EMMC}/../..": "mmc"},
            "",
            id="emmc",
        ),
        pytest.param(f"{VIRTUAL}/loop0", {}, {}, "a loop device", id="loop"),
        pytest.param(f"{VIRTUAL}/nbd12", {}, {}, "a disk by network (nbd)", id="nbd"),
        pytest.param(f"{VIRTUAL}/ram0", {}, {}, "a disk in memory", id="ram"),
        pytest.param(f"{VIRTUAL}/zram0", {}, {}, "a disk in memory", id="zram"),
        *(
            pytest.param(f"{VIRTUAL}/{name}", {}, {}, "of a kind that ALLiE does not know", id=name)
            for name in ("zd0", "ublkb0", "nullb0", "dm-0", "md0", "rbd0", "drbd0", "pmem0")
        ),
    ],
)
def test_a_disk_alone(
    sys: Sys, path: str, files: dict[str, str], buses: dict[str, str], why: str
) -> None:
    """And a partition of it is no other disk."""
    number = sys.block(path)
    for name, text in files.items():
        sys.put(os.path.normpath(name), text)
    for place, bus in buses.items():
        sys.on_bus(os.path.normpath(place), bus)
    part = sys.block(f"{path}/{os.path.basename(path)}1")
    assert sys.whys(number) == sys.whys(part) == [why]
    assert physical.is_partition(part, sys.top)
    assert not physical.is_partition(number, sys.top)


@pytest.mark.parametrize(
    ("members", "whys"),
    [
        ([SATA], [""]),
        ([SATA, SATA2], ["", ""]),
        ([SATA, USB], ["", "a USB disk"]),
        ([f"{VIRTUAL}/loop0"], ["a loop device"]),
        ([SATA, f"{VIRTUAL}/loop0"], ["", "a loop device"]),
    ],
)
@pytest.mark.parametrize("layers", [["md127"], ["dm-0"], ["md0", "dm-0", "dm-1"], ["bcache0"]])
def test_layers_are_as_good_as_what_is_below_them(
    sys: Sys, members: list[str], whys: list[str], layers: list[str]
) -> None:
    for each in members:
        sys.block(each)
    below = members
    for layer in layers:
        number = sys.block(f"{VIRTUAL}/{layer}", *below)
        below = [f"{VIRTUAL}/{layer}"]
    assert sorted(sys.whys(number)) == sorted(whys)
    assert not physical.is_partition(number, sys.top), "a volume is no plain partition"


@pytest.mark.parametrize("in_a_dock", [False, True])
def test_nvme_with_several_ways(sys: Sys, in_a_dock: bool) -> None:
    """It is below /virtual/ and has no parent there: its controllers tell."""
    number = sys.block(f"{WAYS}/nvme0n1")
    for name, path in (("nvme0", NVME), ("nvme1", DOCK)):
        controller = Path(sys.top, "devices", path).parent
        controller.mkdir(parents=True)
        Path(sys.top, "devices", WAYS, name).symlink_to(controller)
    if in_a_dock:
        sys.put(f"{PCI}:07.0/0000:20:00.0/removable", "removable")
    assert sys.whys(number) == (["a removable disk"] if in_a_dock else [""])


_LINE = "22 1 {number} / {point} rw,relatime shared:1 - {kind} {source} rw\n"


@pytest.mark.parametrize(
    ("number", "kind", "source", "disks"),
    [
        ("8:2", "ext4", "/dev/sda1", ["sda"]),
        ("8:2", "ext4", "/dev/root", ["sda"]),
        ("0:30", "btrfs", "/dev/sda1", ["sda", "sdb"]),
        ("0:30", "btrfs", "/dev/sdc", ["sdc"]),
        ("0:31", "zfs", "rpool/ROOT/debian", []),
        ("0:32", "overlay", "overlay", []),
        ("0:33", "tmpfs", "tmpfs", []),
        ("0:34", "nfs4", "server:/root", []),
    ],
)
def test_the_disks_of_the_root(
    sys: Sys, tmp_path: Path, number: str, kind: str, source: str, disks: list[str]
) -> None:
    for path in (SATA, f"{SATA}/sda1", SATA2, USB):
        sys.block(path)
    members = Path(sys.top, "fs/btrfs/0123-4567/devices")
    members.mkdir(parents=True)
    for name in ("sda1", "sdb"):
        (members / name).symlink_to(Path(sys.top, "class/block", name))
    table = tmp_path / "mountinfo"
    table.write_text(
        _LINE.format(number="0:1", point="/", kind="rootfs", source="rootfs")
        + _LINE.format(number=number, point="/", kind=kind, source=source)
        + _LINE.format(number="8:3", point="/home", kind="ext4", source="/dev/sdb")
    )
    assert [each.name for each in physical.of_root(sys.top, str(table))] == disks


@pytest.mark.parametrize(
    ("path", "files", "marks"),
    [
        (SATA, {"device/wwid": "naa.5  01"}, ("wwid=naa.5 01", f"path={PCI}:17.0/0:0:0")),
        (
            NVME,
            {"wwid": "eui.01", "serial": "S1"},
            ("wwid=eui.01", "serial=S1", f"path={PCI}:1d.0/0000:3d:00.0"),
        ),
        (USB, {}, (f"path={PCI}:14.0/usb-3/0:0:0",)),
        (
            SD,
            {"device/cid": "0a0b", "device/type": "SD"},
            ("serial=0a0b", f"path={PCI}:1a.0"),
        ),
        (f"{VIRTUAL}/loop3", {"loop/backing_file": "/srv/disk"}, ("loop=/srv/disk",)),
    ],
)
def test_what_a_disk_is_known_by(
    sys: Sys, path: str, files: dict[str, str], marks: tuple[str, ...]
) -> None:
    """The same at each start: nothing of the order in which disks were found is in it."""
    number = sys.block(path)
    for name, text in files.items():
        place = Path(sys.top, "devices", path, name)
        place.parent.mkdir(exist_ok=True)
        place.write_text(text + "\n")
    [found] = physical.under(number, sys.top)
    assert found.marks == marks


def test_what_is_not_there(sys: Sys) -> None:
    assert physical.under("8:99", sys.top) == []
    assert physical.of_root(sys.top, "/nonexistent") == []


def test_of_this_machine() -> None:
    """Whatever it runs on, it comes to an end."""
    for number in os.listdir("/sys/dev/block"):
        assert physical.under(number)
    physical.of_root()
