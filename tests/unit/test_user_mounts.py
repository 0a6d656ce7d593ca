"""Whose file systems are not entered, from lines of /proc/self/mountinfo."""

from __future__ import annotations

import pytest

from allie.machine.mounts import user_mounts

HEAD = b"36 35 0:50 / /home/ann/m rw,nosuid,nodev shared:1"
LINES = {
    b" - fuse.sshfs ann@host:/ rw,user_id=1000,group_id=1000": "1000",
    b" - fuse x rw,user_id=1000,group_id=1000,allow_other": "1000",
    b" - fuse.ntfs-3g /dev/sdb1 rw,user_id=0,group_id=0,allow_other": "0",
    b" - fuseblk /dev/sdb1 rw,user_id=7,group_id=7": "7",
    b" - ext4 /dev/sda1 rw": "",
    b" - ext4 /dev/sda1 rw,user_id=7": "",
    # What a user may choose: the kind's second half, and the source, with blanks as octal
    b" - fuse.\\040-\\040ext4 x rw,user_id=1000,group_id=1000": "1000",
    b" - fuse.x,user_id=0 user_id=0 rw,user_id=1000,group_id=1000": "1000",
    b" - fuse  rw,user_id=1000,group_id=1000": "1000",
    b"": "",
}


@pytest.mark.parametrize("line", LINES)
def test_whose_it_is(line: bytes) -> None:
    assert user_mounts.user_of(HEAD + line) == LINES[line]


def test_what_is_mounted_last_lies_on_top(monkeypatch: pytest.MonkeyPatch) -> None:
    fuse = b" - fuse x rw,user_id=1000,group_id=1000\n"
    ext4 = b" - ext4 /dev/sda1 rw\n"
    table = b"36 35 0:50 / /r/home rw" + ext4 + b"37 36 0:51 / /r/home/m rw" + fuse
    table += b"38 36 0:52 / /r/home/n rw" + fuse + b"39 38 0:53 / /r/home/n rw" + ext4
    table += b"40 36 0:54 / /other/m rw" + fuse
    monkeypatch.setattr(user_mounts, "_read", lambda: table)
    found = user_mounts.below("/r")
    assert found.known == {"home": "36", "home/n": "39"}
    assert list(found.closed) == ["home/m"]
    assert "user 1000" in found.closed["home/m"]
    assert user_mounts.closed_in("/nowhere") == {}
    assert user_mounts.connections() == ["51", "52", "54"]
