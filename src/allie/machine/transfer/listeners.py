"""Who listens on a TCP port of this machine: for a message that says what is in the way."""

from __future__ import annotations

import os
import re
from contextlib import suppress

from allie.machine import console
from allie.machine.files import atomic

_LISTENS = "0A"  # a state of /proc/net/tcp, proc(5)
_MOST = 16 << 20  # bytes of that table


def of(port: int) -> str:
    """`NAME (process N, of UNIT)`; "" where nobody can be found, as in another namespace."""
    wanted = {f"socket:[{inode}]" for inode in _inodes(port)}
    for pid in filter(str.isdigit, os.listdir("/proc") if wanted else ()):
        with suppress(OSError):  # it ended, or is not ours to look at
            files = f"/proc/{pid}/fd"
            if any(_target(f"{files}/{each}") in wanted for each in os.listdir(files)):
                return _described(pid)
    return ""


def is_taken(port: int) -> bool:
    """Whether anybody does, as this namespace sees it."""
    return bool(_inodes(port))


def _inodes(port: int) -> list[str]:
    """The sockets that listen there, by IPv4 or IPv6."""
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            rows = map(bytes.split, (atomic.read_bytes(table, _MOST) or b"").splitlines()[1:])
            found += [
                row[9].decode()
                for row in rows
                if row[3].decode() == _LISTENS and int(row[1].rpartition(b":")[2], 16) == port
            ]
    return found


def _target(link: str) -> str:
    with suppress(OSError):
        return os.readlink(link)
    return ""


def _described(pid: str) -> str:
    name = console.printable((atomic.read(f"/proc/{pid}/comm") or "").strip())
    unit = re.search(r"/([^/\n]+\.service)", atomic.read(f"/proc/{pid}/cgroup") or "")
    of_unit = f", of {console.printable(unit[1])}" if unit else ""
    hint = " for one of its sockets: systemctl list-sockets" if pid == "1" else ""
    return f"{name} (process {pid}{of_unit}){hint}"
