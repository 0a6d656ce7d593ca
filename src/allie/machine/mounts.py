"""What is mounted where, from /proc/self/mountinfo (proc(5))."""

from __future__ import annotations

import os
import re


def points() -> list[str]:
    """Every mount point, as absolute paths."""
    with open("/proc/self/mountinfo", "rb") as file:
        return [parse_line(line) for line in file]


def parse_line(line: bytes) -> str:
    """The mount point of one line; blanks and the like stand there as octal."""
    field = line.split()[4]
    octal = re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found.group(1), 8)]), field)
    return os.fsdecode(octal)


def at_or_below(path: str) -> str:
    """The first mount point that is `path` or lies below it; "" if there is none."""
    for point in points():
        if point == path or point.startswith(path.rstrip("/") + "/"):
            return point
    return ""
