"""Whose file systems are not entered, from lines of /proc/self/mountinfo."""

from __future__ import annotations

import pytest

from allie.machine.mounts import mount_table, user_mounts

HEAD = "36 35 0:50 / /home/ann/m rw,nosuid,nodev shared:1"
LINES = {
    " - fuse.sshfs ann@host:/ rw,user_id=1000,group_id=1000": "1000",
    " - fuse x rw,user_id=1000,group_id=1000,allow_other": "1000",
    " - fuse.ntfs-3g /dev/sdb1 rw,user_id=0,group_id=0,allow_other": "",
    " - fuseblk /dev/sdb1 rw,user_id=7,group_id=7": "7",
    " - ext4 /dev/sda1 rw": "",
    " - ext4 /dev/sda1 rw,user_id=7": "",
    # What a user may choose: the kind's second half, and the source, with blanks as octal
    " - fuse.\\040-\\040ext4 x rw,user_id=1000,group_id=1000": "1000",
    " - fuse.x,user_id=0 user_id=0 rw,user_id=1000,group_id=1000": "1000",
    " - fuse  rw,user_id=1000,group_id=1000": "1000",
}


@pytest.mark.parametrize("line", LINES)
def test_whose_it_is(line: str) -> None:
    assert [each.user for each in mount_table.parse(HEAD + line)] == [LINES[line]]


def test_what_is_mounted_last_lies_on_top(monkeypatch: pytest.MonkeyPatch) -> None:
    fuse = " - fuse x rw,user_id=1000,group_id=1000\n"
    ext4 = " - ext4 /dev/sda1 rw\n"
    table = "36 35 0:50 / /r/home rw" + ext4 + "37 36 0:51 / /r/home/m rw" + fuse
    table += "38 36 0:52 / /r/home/n rw" + fuse + "39 38 0:53 / /r/home/n rw" + ext4
    table += "40 36 0:54 / /other/m rw" + fuse
    monkeypatch.setattr(user_mounts, "_read", lambda: table)
    found = user_mounts.below("/r")
    assert found.known == {"home": "36", "home/n": "39"}
    assert list(found.closed) == ["home/m"]
    assert "user 1000" in found.closed["home/m"]
    assert user_mounts.closed_in("/nowhere") == {}
    assert user_mounts.connections() == ["51", "52", "54"]
