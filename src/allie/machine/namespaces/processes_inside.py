"""Which processes are inside a tree: entered, chrooted, or with some of it bound into their view.

It is read from /proc alone. Nothing of theirs is looked at, since it may be a mount that answers no
question. A process that only has its directory or an open file there is not inside (`at_work`).
"""

from __future__ import annotations

import os
from contextlib import suppress

from allie.machine.mounts import mount_table


def of(path: str) -> list[int]:
    """The processes inside the tree at `path`."""
    device, top = mount_table.in_file_system(path, mount_table.parse(mount_table.read()))
    inside: dict[str, bool] = {}  # by mount namespace
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            namespace = os.readlink(f"/proc/{pid}/ns/mnt")
            is_in = mount_table.is_within(os.readlink(f"/proc/{pid}/root"), path)
            if not is_in and namespace not in inside:
                inside[namespace] = any(
                    top and each.device == device and mount_table.is_within(each.root, top)
                    for each in mount_table.parse(mount_table.read(pid))
                )
        except OSError:
            continue  # it ended, or is the kernel's
        if is_in or inside[namespace]:
            found.append(int(pid))
    return sorted(found)


def entered(root: str) -> list[int]:
    """The processes that run in a root, chrooted or otherwise entered: its programs are theirs."""
    own = _directories(root)
    pids = filter(str.isdigit, os.listdir("/proc"))
    return [int(pid) for pid in pids if not own.isdisjoint(_directories(f"/proc/{pid}/root"))]


def at_work(top: str) -> bool:
    """Whether a process has this very directory for its own, also under another name or view.

    So has an rsync that sends a tree, as long as it does.
    """
    try:
        st = os.stat(top)
    except FileNotFoundError:
        return False
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):  # it has ended
            if os.path.samestat(os.stat(f"/proc/{pid}/cwd"), st):
                return True
    return False


def _directories(root: str) -> set[tuple[int, int]]:
    """By which a root is known again: device and inode of itself, and of its programs."""
    found = set()
    for name in ("", "usr", "bin"):
        with suppress(OSError):  # the process has ended, or there is no such directory
            st = os.stat(f"{root}/{name}", follow_symlinks=not name)
            found.add((st.st_dev, st.st_ino))
    return found
