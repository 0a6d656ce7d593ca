"""What a machine that becomes an image says of itself: its mounts, its swap files.

Asked by `server.images.from_tree` and `server.images.capture`, and by `client.use.offer`, which
hands it on.
"""

from __future__ import annotations

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
    tables = [mount_table.read(), atomic.read("/proc/swaps") or ""]
    return described("\n".join([*tables, within.text(top, "etc/fstab") or ""]), top)


def described(said: str, top: str) -> Machine:
    """A machine by the lines of its mountinfo, its /proc/swaps and the fstab(5) below `top`."""
    kinds = {each.point: each.kind for each in mount_table.parse(said)}  # the last lies on top
    swap: set[str] = set()
    base = top.rstrip("/")
    for line in (line for line in said.split("\n") if line.startswith("/")):
        words = line.split()
        path = mount_table.plain(words[0])
        if words[1:2] == ["file"]:  # in use
            swap.update([path[len(base) :]] if path.startswith(f"{base}/") else [])
        elif words[2:3] == ["swap"] and not line.startswith("/dev/"):
            swap.add(path)
    above = [point for point in kinds if mount_table.is_within(base, point)]
    kind = kinds[max(above, key=len)] if above else ""
    below = sorted(point[len(base) :] for point in kinds if point.startswith(f"{base}/"))
    found = tuple(point for point in below if point != "/")
    return Machine(found, tuple(sorted(swap)), kind in ("btrfs", "bcachefs"))
