"""What is mounted where, from /proc/self/mountinfo (proc(5))."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable


def points() -> list[str]:
    """Every mount point, as absolute paths."""
    with open("/proc/self/mountinfo", "rb") as file:
        return [parse_line(line) for line in file]


def parse_line(line: bytes) -> str:
    """The mount point of one line; blanks and the like stand there as octal."""
    return plain(line.split()[4])


def plain(field: bytes) -> str:
    """A path as it is, from how these tables have it."""
    octal = re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found.group(1), 8)]), field)
    return os.fsdecode(octal)


def other_disks(there: Iterable[str], top: str) -> set[str]:
    """Of these mount points, those below `top` that are not the running kernel's own.

    >>> sorted(other_disks(["/", "/proc", "/dev/pts", "/home", "/boot", "/boot/efi"], "/"))
    ['/boot', '/boot/efi', '/home']
    """
    base = top.rstrip("/")
    below = (point for point in there if point.startswith(f"{base}/") and point != f"{base}/")
    kernels = tuple(f"{base}/{name}/" for name in ("proc", "sys", "dev", "run", "tmp"))
    return {point for point in below if not f"{point}/".startswith(kernels)}


def at_or_below(path: str) -> str:
    """The first mount point that is `path` or lies below it; "" if there is none."""
    for point in points():
        if point == path or point.startswith(path.rstrip("/") + "/"):
            return point
    return ""
