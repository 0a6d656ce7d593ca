"""Which partition with a label is a system's own, and when none is chosen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allie.core.boot import partition_choice
from allie.core.boot.partition_choice import Candidate, Disk

SDA = Disk("sda", ("wwid=naa.1", "path=pci/17"), "")
SDB = Disk("sdb", ("wwid=naa.2", "path=pci/17"), "")
STICK = Disk("sdc", ("serial=77", "path=pci/14/usb-3"), "a USB disk")
LOOP = Disk("loop0", ("loop=/srv/disk", "file=8:12"), "a loop device")
WHERE = "LABEL=el7"


def on(
    *disks: Disk, device: str = "", uuid: str = "u1", part: str = "p1", kind: str = "ext4"
) -> Candidate:
    """A partition of a disk; a volume on several."""
    name = device or f"/dev/{disks[0].name}1" if disks else "/dev/zd0"
    return Candidate(name, uuid, part, kind, disks, len(disks) == 1)


NOTED = partition_choice.record(WHERE, on(SDB))


@pytest.mark.parametrize(
    ("found", "known", "why"),
    [
        # Nobody was asked, and nothing was there before: only beside /
        ([on(SDA)], False, ""),
        ([on(SDB)], False, "/dev/sdb1 was never this system's"),
        ([on(SDA)._replace(is_partition=False)], False, "/dev/sda1 was never this system's"),
        ([on(STICK)], False, "/dev/sdc1 is on a USB disk"),
        ([on(LOOP)], False, "/dev/loop01 is on a loop device"),
        ([on(SDA, STICK)], False, "/dev/sda1 is on a USB disk"),
        ([on()], False, "/dev/zd0 is on an unknown disk"),
        # A PC of before
        ([on(SDA)], True, ""),
        ([on(SDB)], True, ""),
        ([on(SDA, SDB)], True, ""),
        ([on(SDA)._replace(is_partition=False)], True, ""),
        ([on(STICK)], True, "/dev/sdc1 is on a USB disk"),
        ([on(LOOP)], True, "/dev/loop01 is on a loop device"),
        ([on(SDA, STICK)], True, "/dev/sda1 is on a USB disk"),
        ([on()], True, "/dev/zd0 is on an unknown disk"),
        # Never guessed
        ([on(SDA), on(STICK)], True, "2 file systems have that label: /dev/sda1 /dev/sdc1"),
        ([on(SDA), on(SDB)], False, "2 file systems have that label: /dev/sda1 /dev/sdb1"),
        ([], True, ""),
    ],
)
def test_without_a_note(found: list[Candidate], known: bool, why: str) -> None:
    chosen, said = partition_choice.choose(found, None, [SDA], known=known)
    assert said == why
    assert chosen == (found[0] if found and not why else None)


def test_a_pc_that_runs_from_a_stick() -> None:
    assert partition_choice.choose([on(STICK)], None, [STICK], known=False) == (on(STICK), "")
    other = STICK._replace(name="sdd")
    assert partition_choice.choose([on(other)], None, [STICK], known=True)[0] is None


@pytest.mark.parametrize(
    ("found", "index"),
    [
        ([on(SDB)], 0),
        ([on(STICK), on(SDB)], 1),  # a clone of it beside it does not count
        ([on(STICK)], None),  # nor in its place
        ([on(SDA)], None),  # not even beside /
        ([on(SDB, uuid="u2")], None),  # made anew
        ([on(SDB, part="p2")], None),  # copied to another partition
        ([on(SDB, part="p2"), on(SDB)], 1),
        ([on(SDB), on(SDB, device="/dev/sdb2")], None),  # the same in all that is known
        ([on(SDB, part="")], 0),  # nobody here can tell
        ([on(SDB)._replace(disks=())], None),
        ([on(SDB, STICK)], None),  # a mirror with one half on a stick
        ([], None),
    ],
)
def test_with_a_note(found: list[Candidate], index: int | None) -> None:
    for known in (False, True):
        chosen, why = partition_choice.choose(found, NOTED, [SDA], known=known)
        assert chosen == (None if index is None else found[index])
        assert bool(why) == (index is None and bool(found))


@pytest.mark.parametrize(
    ("found", "noted", "index"),
    [
        ([on(SDA)], None, 0),
        ([on(SDA), on(STICK)], None, 0),  # a stick switches nothing off
        ([on(STICK)], None, None),
        ([on(SDB)], None, None),
        ([on(SDA)._replace(is_partition=False)], None, None),  # a guest's volume
        ([on(SDA), on(SDA, device="/dev/sda2")], None, None),
        ([on(SDB)], NOTED, 0),
        ([on(SDB), on(SDA)], NOTED, 0),
        ([on(STICK), on(SDA)], NOTED, 1),
        ([on(STICK)], NOTED, None),
        ([], NOTED, None),
    ],
)
def test_the_boot_partition(
    found: list[Candidate], noted: partition_choice.Binding | None, index: int | None
) -> None:
    chosen, why = partition_choice.choose_boot(found, noted, [SDA])
    assert chosen == (None if index is None else found[index])
    assert bool(why) == (index is None and bool(found))


@pytest.mark.parametrize(
    ("disk", "marks", "same"),
    [
        (SDA, SDA.marks, True),
        (SDA, SDB.marks, False),
        (SDA, ("path=pci/17",), True),  # noted under a kernel that knew no more
        (SDA, ("wwid=naa.1", "path=pci/99"), True),  # in another slot
        (SDA, ("serial=9",), False),
        (SDA, (), False),
        (STICK, STICK.marks, True),
        (STICK, ("serial=77", "path=pci/14/usb-4"), False),  # in another port
        (STICK, ("serial=78", "path=pci/14/usb-3"), False),
        (LOOP, ("loop=/srv/disk", "file=8:13"), False),  # another file of that name
    ],
)
def test_the_same_disk(disk: Disk, marks: tuple[str, ...], same: bool) -> None:
    assert partition_choice.is_same(disk, marks) is same


def test_the_devices_of_one_btrfs_are_one() -> None:
    first = on(SDA, part="pa", kind="btrfs")
    second = on(SDB, part="pb", kind="btrfs")
    [whole] = partition_choice.joined([first, second])
    assert [each.name for each in whole.disks] == ["sda", "sdb"]
    assert partition_choice.is_noted(
        whole, partition_choice.record(WHERE, partition_choice.joined([second, first])[0])
    )
    assert len(partition_choice.joined([on(SDA), on(SDB)])) == 2, "of ext4 it is a clone"
    # A stick that says it is a part of it: the kernel would take it for one
    [mixed] = partition_choice.joined([first, second, on(STICK, part="pc", kind="btrfs")])
    assert (
        partition_choice.choose([mixed], partition_choice.record(WHERE, whole), [SDA], known=True)[
            0
        ]
        is None
    )


_MARKS = st.lists(st.sampled_from(["wwid=1", "wwid=2", "serial=1", "path=a", "path=b"]), max_size=3)


@given(
    st.lists(
        st.tuples(_MARKS, st.sampled_from(["", "a USB disk"]), st.sampled_from("uv")), max_size=3
    ),
    st.booleans(),
)
def test_a_disk_that_can_be_plugged_in_is_never_taken_unasked(
    found: list[tuple[list[str], str, str]], known: bool
) -> None:
    candidates = [
        on(Disk(f"sd{n}", tuple(marks), why), uuid=uuid)
        for n, (marks, why, uuid) in enumerate(found)
    ]
    chosen, _ = partition_choice.choose(candidates, None, [SDA], known=known)
    assert chosen is None or not any(each.why for each in chosen.disks)
    chosen, _ = partition_choice.choose_boot(candidates, None, [SDA])
    assert chosen is None
