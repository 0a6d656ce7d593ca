"""Lines of /proc/self/mountinfo: proc(5)."""

from __future__ import annotations

import pytest

from allie.machine.mounts import mount_table


@pytest.mark.parametrize(
    ("field", "point"),
    [
        (b"/", "/"),
        (b"/mnt/disk", "/mnt/disk"),
        (b"/mnt/two\\040words", "/mnt/two words"),
        (b"/mnt/tab\\011new\\012back\\134slash", "/mnt/tab\tnew\nback\\slash"),
        (b"/mnt/\\134040", "/mnt/\\040"),
        (b"/mnt/\xff", "/mnt/\udcff"),
    ],
)
def test_the_mount_point_of_a_line(field: bytes, point: str) -> None:
    line = b"36 35 98:0 /mnt1 " + field + b" rw,noatime master:1 - ext3 /dev/root rw\n"
    assert mount_table.parse_line(line) == point


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/srv", "/srv/data"),
        ("/srv/data", "/srv/data"),
        ("/srv/dat", ""),
        ("/", "/"),
        ("/home", ""),
        ("/srv/data/below", ""),
    ],
)
def test_a_mount_at_or_below_a_path(path: str, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mount_table, "points", lambda: ["/", "/srv/data", "/run"])
    assert mount_table.at_or_below(path) == found
