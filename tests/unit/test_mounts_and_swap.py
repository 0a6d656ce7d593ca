"""What a machine says of its mounts and its swap, and the rules that leave them out."""

from __future__ import annotations

import pytest

from allie.core.image import not_captured
from allie.machine.disk.mounts_and_swap import Machine, described

MOUNTS = b"""\
22 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw
23 22 0:21 / /proc rw - proc proc rw
24 22 8:3 / /home rw shared:2 - ext4 /dev/sda3 rw
25 22 8:2 /srv/data /opt/my\\040data rw - ext4 /dev/sda2 rw
26 22 8:2 /etc/real /etc/resolv.conf rw - ext4 /dev/sda2 rw
27 22 0:50 / /mnt/gold rw - btrfs /dev/sdb1 rw,subvol=/
28 27 0:51 /home /mnt/gold/home rw - btrfs /dev/sdb1 rw,subvol=/home
"""
SWAPS = b"""\
Filename\tType\tSize\tUsed\tPriority
/dev/sda4 partition 1 0 -2
/var/my\\040swap file 1 0 -3
/mnt/gold/in-use file 1 0 -3
"""
FSTAB = b"""\
# /commented none swap sw 0 0
LABEL=root / ext4 defaults 0 1
/extra/page none swap sw 0 0
/dev/sda4 none swap sw 0 0
"""
SAID = b"\n".join((MOUNTS, SWAPS, FSTAB))


@pytest.mark.parametrize(
    ("said", "top", "machine"),
    [
        (
            SAID,
            "/",
            Machine(
                (
                    "/etc/resolv.conf",
                    "/home",
                    "/mnt/gold",
                    "/mnt/gold/home",
                    "/opt/my data",
                    "/proc",
                ),
                ("/extra/page", "/mnt/gold/in-use", "/var/my swap"),
            ),
        ),
        (SAID, "/mnt/gold", Machine(("/home",), ("/extra/page", "/in-use"), True)),
        (SAID, "/mnt/gold/", Machine(("/home",), ("/extra/page", "/in-use"), True)),
        (SAID, "/mnt/gold/sub", Machine((), ("/extra/page",), True)),
        (SAID, "/mnt/golden", Machine((), ("/extra/page",))),
        (b"", "/", Machine()),
        (b"\xff\n\n/ \n1 2 3:4\n", "/", Machine()),
    ],
)
def test_what_is_in_a_system_and_is_not_it(said: bytes, top: str, machine: Machine) -> None:
    assert described(said.decode(errors="surrogateescape"), top) == machine


def test_a_mount_point_stays_empty_and_is_named_as_a_pattern_reads_it() -> None:
    assert not_captured.mounted(["/a[b]\\c", "/opt"]) == [
        "--filter=+ /a\\[b]\\\\c/",
        "--filter=- /a\\[b]\\\\c/*",
        "--filter=- /a\\[b]\\\\c",
        "--filter=+ /opt/",
        "--filter=- /opt/*",
        "--filter=- /opt",
    ]
    assert not_captured.mounted(["/home", "/home/ann"], ("/home/",))[-1] == "--filter=- /home/ann"
    assert not_captured.ways(("/srv/a b",)) == ["--filter=+ /srv/", "--filter=+ /srv/a b/"]
