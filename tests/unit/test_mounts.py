"""Lines of /proc/self/mountinfo: proc(5)."""

from __future__ import annotations

import pytest

from allie.machine.mounts import mount_table


@pytest.mark.parametrize(
    ("field", "point"),
    [
        ("/", "/"),
        ("/mnt/disk", "/mnt/disk"),
        ("/mnt/two\\040words", "/mnt/two words"),
        ("/mnt/tab\\011new\\012back\\134slash", "/mnt/tab\tnew\nback\\slash"),
        ("/mnt/\\134040", "/mnt/\\040"),
        ("/mnt/\udcff\\040", "/mnt/\udcff "),
        ("/mnt/\\303\\274", "/mnt/\u00fc"),
        ("/mnt/\\9\\04", "/mnt/\\9\\04"),
    ],
)
def test_the_mount_point_of_a_line(field: str, point: str) -> None:
    line = f"36 35 98:0 /mnt1 {field} rw,noatime master:1 - ext3 /dev/root rw"
    assert mount_table.parse(f"# no - line\n{line}\n38 what\n") == [
        mount_table.Mount("36", "98:0", "/mnt1", point, "ext3", "/dev/root", "rw")
    ]


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
