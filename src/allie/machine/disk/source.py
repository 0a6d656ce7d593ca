"""What a machine that becomes an image says of itself: its mounts, its swap files.

Asked by `server.images.from_tree` and `server.images.capture`, and by `client.use.offer`, which
hands it on.
"""

from __future__ import annotations

import re

from allie.core.value import Value
from allie.machine.files import atomic
from allie.machine.mounts import mount_table
from allie.machine.roots import within


class Machine(Value):
    """Paths are absolute, as seen from the top of what is brought."""

    mounts: tuple[str, ...] = ()
    swap: tuple[str, ...] = ()  # files that it swaps to, now or from its next boot on
    has_subvolumes: bool = False  # or may have: the top is on a btrfs


def here(top: str) -> Machine:
    """A root on this machine; what is in use as swap is known of this machine alone."""
    tables = [atomic.read_bytes(f"/proc/{each}") or b"" for each in ("self/mountinfo", "swaps")]
    table = within.text(top, "etc/fstab") or ""
    return described(b"\n".join([*tables, table.encode(errors="surrogateescape")]), top)


def described(said: bytes, top: str) -> Machine:
    """A machine by the lines of its mountinfo, its /proc/swaps and the fstab(5) below `top`."""
    kinds: dict[str, bytes] = {}  # of file systems; what is mounted last lies above
    swap: set[str] = set()
    base = top.rstrip("/")
    for line in said.splitlines():
        words = line.split()
        if re.match(rb"\d+ \d+ \d+:\d+ \S+ /.* - \S", line):
            kinds[mount_table.parse_line(line)] = line.partition(b" - ")[2].split()[0]
        elif line.startswith(b"/") and words[1:2] == [b"file"]:  # in use
            path = mount_table.plain(words[0])
            swap.update([path[len(base) :]] if path.startswith(f"{base}/") else [])
        elif line.startswith(b"/") and words[2:3] == [b"swap"] and line[:5] != b"/dev/":
            swap.add(mount_table.plain(words[0]))
    above = [point for point in kinds if f"{base}/".startswith(f"{point.rstrip('/')}/")]
    kind = kinds[max(above, key=len)] if above else b""
    below = sorted(point[len(base) :] for point in kinds if point.startswith(f"{base}/"))
    found = tuple(point for point in below if point != "/")
    return Machine(found, tuple(sorted(swap)), kind in (b"btrfs", b"bcachefs"))
