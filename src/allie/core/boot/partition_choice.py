"""Which partition with a label is a system's own: the decision, from what was found and noted.

Anybody can give a stick the same label. What binds a system to a partition is the file system's
UUID, the partition's, and the physical disk (machine.disk.physical). This is noted once: by a
person at this PC, or by a tick where it can only be a disk that is built in.
"""

from __future__ import annotations

from allie.core.value import Value


class Disk(Value):
    """A physical disk: the last that can be told of what a device lies on."""

    name: str  # sda
    marks: tuple[str, ...]  # what it is known by, the surest first: "wwid=…", …, "path=…"
    why: str  # "" for a disk that is built in; else why it may be anybody's: "a USB disk"


class Candidate(Value):
    """A file system with the label, as it was found now."""

    device: str
    uuid: str  # of the file system
    part: str  # of the partition, or of the volume of LVM, LUKS or md
    kind: str  # ext4; "" where nobody could tell
    disks: tuple[Disk, ...]
    is_partition: bool  # of a disk; and no volume of a layer between


class Binding(Value):
    """What a system was bound to."""

    where: str  # LABEL=… or PARTLABEL=…, as allie.conf had it
    uuid: str
    part: str
    disks: tuple[tuple[str, ...], ...]  # the marks of each


def record(where: str, found: Candidate) -> Binding:
    """What is to be noted of a partition."""
    return Binding(where, found.uuid, found.part, tuple(each.marks for each in found.disks))


def choose(
    found: list[Candidate], noted: Binding | None, root: list[Disk], *, known: bool
) -> tuple[Candidate | None, str]:
    """The partition of a system, or why none is: (it, "") or (None, why).

    root: the disks that `/` lies on. known: this PC has looked after the system before there were
    records. why is "" where no partition has the label.
    """
    if noted:
        return _noted(found, noted)
    if len(found) != 1:
        return None, _several(found)
    only = found[0]
    on_root = is_on(only, root)
    strange = [each.why for each in only.disks if each.why]
    if not only.disks or (strange and not on_root):
        return None, f"{only.device} is on {strange[0] if strange else 'an unknown disk'}"
    if known or (on_root and only.is_partition):
        return only, ""
    return None, f"{only.device} was never this system's"


def choose_boot(
    found: list[Candidate], noted: Binding | None, root: list[Disk]
) -> tuple[Candidate | None, str]:
    """The boot partition: a plain partition on the disk of `/`, or the one that was noted."""
    if noted:
        mine, why = _noted(found, noted)
        if mine:
            return mine, why
    near = [each for each in found if each.is_partition and is_on(each, root)]
    if len(near) == 1:
        return near[0], ""
    if near or not found:
        return None, _several(near)
    return None, f"{_names(found)} is not on the disk that / lies on"


def is_noted(found: Candidate, noted: Binding) -> bool:
    """Whether a partition is the one that was noted, on the disk that was noted."""
    if not found.disks or not found.uuid or found.uuid != noted.uuid:
        return False
    if found.part and noted.part and found.part != noted.part:
        return False
    return all(any(is_same(disk, marks) for marks in noted.disks) for disk in found.disks)


def is_same(disk: Disk, marks: tuple[str, ...]) -> bool:
    """Whether a disk is the one that was noted by these marks.

    By the surest kind that both have, since kernels differ in what they know. A disk that can be
    pulled out must agree in all that both have: also in the port that it is in.
    """
    noted = dict(each.partition("=")[::2] for each in marks)
    pairs = [each.partition("=")[::2] for each in disk.marks]
    common = [noted[kind] == value for kind, value in pairs if kind in noted]
    return bool(common) and (all(common) if disk.why else common[0])


def joined(found: list[Candidate]) -> list[Candidate]:
    """The same, where several devices of one btrfs are one: on the disks of them all."""
    whole: dict[str, Candidate] = {}
    for each in found:
        key = each.uuid if each.kind == "btrfs" and each.uuid else each.device
        one = whole.get(key)
        if one:
            parts = " ".join(sorted([*one.part.split(), each.part]))
            disks = {disk.name: disk for disk in (*one.disks, *each.disks)}
            each = one._replace(part=parts, disks=tuple(disks.values()))
        whole[key] = each
    return list(whole.values())


def _noted(found: list[Candidate], noted: Binding) -> tuple[Candidate | None, str]:
    mine = [each for each in found if is_noted(each, noted)]
    if len(mine) == 1:
        return mine[0], ""
    if mine or not found:
        return None, _several(mine)
    return None, f"{_names(found)} is not the disk that it was bound to"


def is_on(found: Candidate, root: list[Disk]) -> bool:
    """Whether a file system lies on these disks alone."""
    names = {each.name for each in root}
    return bool(found.disks) and {each.name for each in found.disks} <= names


def _several(found: list[Candidate]) -> str:
    return f"{len(found)} file systems have that label: {_names(found)}" if found else ""


def _names(found: list[Candidate]) -> str:
    return " ".join(each.device for each in found)
