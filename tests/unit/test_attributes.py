"""What a file system cannot hold, or does not count: nobody may do more, and nothing is stopped."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allie.client.state import records
from allie.client.systems import earlier_trees
from allie.machine.files import attributes, free_space
from allie.machine.programs import process_groups
from allie.machine.roots import open_system

MAY = st.integers(0, 7)
USER, GROUP_ITSELF, GROUP, MASK = 0x02, 0x04, 0x08, 0x10


def _acl(mode: int, itself: int, mask: int, named: list[tuple[int, int]]) -> bytes:
    """An ACL as the kernel has it. named: (USER or GROUP, what it may)."""
    plain = attributes.of_mode(mode & ~0o070 | itself << 3)
    entries = [(MASK, mask), *named]
    return plain + b"".join(bytes((tag, 0, may, 0)) + b"\0\0\0\0" for tag, may in entries)


@given(st.integers(0, 0o7777), MAY, MAY, st.lists(MAY), st.lists(MAY))
def test_nobody_may_do_more_without_the_acl(
    mode: int, itself: int, mask: int, users: list[int], teams: list[int]
) -> None:
    """By acl(5), access check algorithm: for everybody but the owner, in any of the groups."""
    mode = mode & ~0o070 | mask << 3
    named = [(USER, each) for each in users] + [(GROUP, each) for each in teams]
    left = attributes.mode_without(_acl(mode, itself, mask, named), mode)
    assert left & ~0o077 == mode & ~0o077
    mine, others = left >> 3 & 7, left & 7
    for may in users:  # in the file's group, or not
        assert not (mine | others) & ~(may & mask)
    assert not mine & ~(itself & mask)
    for may in teams:  # one who is in the file's group as well has what either grants
        assert not others & ~(may & mask)
    assert not others & ~(mode & 7)


def test_the_acl_of_a_mode_says_no_more_than_the_mode() -> None:
    for mode in (0o640, 0o751, 0o077):
        assert attributes.mode_without(attributes.of_mode(mode), mode) == mode


UNCOUNTED = {"nothing (ramfs)": (0, 0), "no inodes (btrfs)": (1 << 20, 0)}


@pytest.mark.parametrize("blocks, files", UNCOUNTED.values(), ids=list(UNCOUNTED))
def test_a_disk_that_does_not_count_is_not_full(tmp_path: Path, blocks: int, files: int) -> None:
    here = open_system.open_system(str(tmp_path))
    Path(here.done).mkdir(parents=True)
    Path(here.state).mkdir(parents=True, exist_ok=True)
    disk = os.statvfs_result((4096, 4096, blocks, blocks, blocks, files, files, files, 0, 255))
    with mock.patch("os.statvfs", return_value=disk):
        records.need_room(here)
        free_space.need(here.state, 100, 100)
        allowance = free_space.Allowance(here.state)
        allowance.spend(100 << 20, True, ours=False)
        allowance.spend(100, True, ours=True, names=50_000)
        assert not earlier_trees.is_short_of_room(str(tmp_path))
        assert process_groups.Watch(0, None)._leaves_room(str(tmp_path))
