"""Paths that an overlay must not hold.

docs/internals/rules.md, "Absent and once" and "Paths that no overlay may hold".
"""

from __future__ import annotations

import pytest

from allie.core import forbidden_paths


@pytest.mark.parametrize(
    "path",
    [
        "var/lib/allie/ledger",
        "var/lib/allie/mirror/1/x",
        "var/lib/allie-code",
        "var/lib/allie-code/abc/complete",
        "root/done",
        "root/done/50tree",
        "etc/allie/system",
        "etc/allie/system/x",
        "proc",
        "proc/1/mem",
        "sys",
        "sys/kernel",
        "dev",
        "dev/sda",
        "run",
        "run/allie/virt",
        "..",
        "etc/../passwd",
        "etc/.",
        "etc/./passwd",
        "x" * 256,
        "root/conf/50" + "x" * 239,
        "etc/" + "ä" * 128,
        "etc/" + "\udcff" * 256 + "/x",
    ],
)
def test_refused(path: str) -> None:
    assert forbidden_paths.refusal(path)


@pytest.mark.parametrize(
    "path",
    [
        "etc/allie/allie.conf",
        "etc/allie/classes",
        "etc/allie/system2",
        "etc/allie",
        "root/conf/50tree",
        "root/done-too",
        "var/lib/alliex/y",
        "var/lib",
        "usr/local/bin/allie",
        "srv/run/x",
        "procfs",
        "device",
        "etc/..hidden",
        "etc/...",
        "x" * 255,
        "root/conf/50" + "x" * 238,
        "root/conf.d/" + "x" * 255,
        "etc/" + "ä" * 127,
    ],
)
def test_allowed(path: str) -> None:
    assert forbidden_paths.refusal(path) == ""


@pytest.mark.parametrize(
    "path",
    [
        "etc/allie",
        "etc",
        "root/conf",
        "root/util",
        "root/done",
        "root",
        "var/lib/allie",
        "var",
        "usr",
        "usr/local/bin/allie",
        "root/conf/run-conf",
    ],
)
def test_what_allie_cannot_work_without(path: str) -> None:
    assert forbidden_paths.is_vital(path)


@pytest.mark.parametrize("path", ["etc/ssh", "etc/alli", "root/conf/x", "usr/share", "var/lib/all"])
def test_what_allie_can_work_without(path: str) -> None:
    assert not forbidden_paths.is_vital(path)
