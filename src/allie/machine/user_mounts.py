"""File systems that users have mounted (FUSE): nothing of root's enters them.

Such a file system answers when its user likes, with what he likes: even an lstat of it can wait
for ever. /proc/self/mountinfo names them without touching them (proc(5)). What is mounted after it
was read is noticed where a directory is opened: it must lie on a mount that was known
(`machine.reach`).
"""

from __future__ import annotations

from allie.core.value import Value
from allie.machine import mounts

_TABLE = "/proc/self/mountinfo"
_FUSE = b" fuse"


class Mounts(Value):
    """What is mounted below a root, by real path.

    known: the number of each mount that root has made. closed: those of users, and why they are
    not entered.
    """

    known: dict[str, str]
    closed: dict[str, str]


def below(root: str) -> Mounts:
    """The mounts below a root, as they are now."""
    return _sort(root, _read())


def closed_in(root: str) -> dict[str, str]:
    """The mount points of users below a root, and why they are not entered; nearly always none."""
    table = _read()
    return _sort(root, table).closed if _FUSE in table else {}


def mount_of(descriptor: int) -> str:
    """The number of the mount that a descriptor is on (proc(5), fdinfo); asks no file system."""
    with open(f"/proc/self/fdinfo/{descriptor}", "rb", buffering=0) as file:
        return file.read(4096).partition(b"mnt_id:")[2].split()[0].decode()


def connections() -> list[str]:
    """The numbers by which the kernel knows the connections of users' FUSE file systems."""
    lines = _read().splitlines()
    return [line.split(b" ", 3)[2].partition(b":")[2].decode() for line in lines if _is_users(line)]


def user_of(line: bytes) -> str:
    """The number of the user who mounted a FUSE file system; "" for any other.

    >>> user_of(b"36 35 0:50 / /home/ann/m rw - fuse.sshfs h:/ rw,user_id=1000,group_id=1000")
    '1000'
    >>> user_of(b"25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,user_id=7")
    ''
    """
    kind, _, rest = line.partition(b" - ")[2].partition(b" ")
    if not kind.startswith(b"fuse"):
        return ""
    for option in rest.rpartition(b" ")[2].split(b","):
        name, _, value = option.partition(b"=")
        if name == b"user_id":
            return value.decode(errors="replace")
    return ""


def _sort(root: str, table: bytes) -> Mounts:
    top = "/" if root == "/" else root + "/"
    known: dict[str, str] = {}
    closed: dict[str, str] = {}
    for line in table.splitlines():
        point = mounts.parse_line(line)
        if not point.startswith(top) or point == top:
            continue
        real = point[len(top) :]
        known.pop(real, None)  # what is mounted last lies on top
        closed.pop(real, None)
        if _is_users(line):
            user = user_of(line)
            closed[real] = f"user {user} has mounted a file system there, which is not entered"
        else:
            known[real] = line.split(b" ", 1)[0].decode()
    return Mounts(known, closed)


def _is_users(line: bytes) -> bool:
    return user_of(line) not in ("", "0")


def _read() -> bytes:
    """The table of mounts; empty where there is no /proc."""
    try:
        with open(_TABLE, "rb", buffering=0) as file:
            return file.read()
    except OSError:
        return b""
