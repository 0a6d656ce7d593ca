"""Which processes are inside a tree: entered, chrooted, or with some of it bound into their view.

It is read from /proc alone. Nothing of theirs is looked at, since it may be a mount that answers no
question. A process that only has its directory or an open file there is not inside.
"""

from __future__ import annotations

import os

from allie.core.conf import system_roots
from allie.machine.files import atomic


def of(path: str) -> list[int]:
    """The processes inside the tree at `path`."""
    device, top = _in_its_file_system(path)
    inside: dict[str, bool] = {}  # by mount namespace
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            namespace = os.readlink(f"/proc/{pid}/ns/mnt")
            if _within(os.readlink(f"/proc/{pid}/root"), path):
                found.append(int(pid))
                continue
        except OSError:
            continue  # it ended, or is the kernel's
        if namespace not in inside:
            table = system_roots.mounts(atomic.read(f"/proc/{pid}/mountinfo") or "")
            inside[namespace] = any(
                each[0] == device and _within(each[1], top) for each in table if top
            )
        if inside[namespace]:
            found.append(int(pid))
    return sorted(found)


def _in_its_file_system(path: str) -> tuple[str, str]:
    """A path as other views name it: the device number, and the path in that file system."""
    table = system_roots.mounts(atomic.read("/proc/self/mountinfo") or "")
    above = [each for each in table if _within(path, each[2])]
    if not above:
        return "", ""
    device, top, point, _ = max(enumerate(above), key=lambda each: (len(each[1][2]), each[0]))[1]
    return device, top.rstrip("/") + path[len(point.rstrip("/")) :]


def _within(path: str, top: str) -> bool:
    return f"{path}/".startswith(f"{top.rstrip('/')}/")
