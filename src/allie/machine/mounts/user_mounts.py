"""File systems that ALLiE does not enter: those of users (FUSE), and those that do not answer.

A user's answers when he likes, with what he likes: even an lstat of it can wait for ever. So can
one of root's that another machine or a program serves (NFS), once that is gone, and a place where
an automounter (autofs, systemd) is to mount one: when somebody is about to enter it, a child asks
it first, and may be left waiting.

/proc/self/mountinfo names them all without touching them (proc(5)). What is mounted after it was
read is noticed where a directory is opened: it must lie on a mount that was known
(`machine.roots.reach`).
"""

from __future__ import annotations

import os
import time
from _collections_abc import Collection

from allie.core.lean import signal, suppress
from allie.core.value import Value
from allie.machine.mounts import mount_table

# Kinds that another machine, or a program, answers for
_SERVED = "afs beegfs ceph cifs coda fuse fuseblk gfs2 lustre ncpfs nfs nfs4 ocfs2 smb3 9p".split()
_AUTO = "autofs"  # … or an automounter does, who has yet to mount it
KINDS = tuple(f" - {kind}" for kind in (*_SERVED, _AUTO))
_SILENT = 10.0  # seconds
_heard: dict[str, bool] = {}  # by path: whether it answered; a part of a tick asks once


class Closed(dict[str, str]):
    """Mount points that are not entered, and why; one that may be silent is asked when looked up.

    served: those, as paths. Not all points of a PC are on the way to a path of an overlay. keyed:
    those of automounters that mount what is asked for beneath (`/home` with a file system for each
    user), as paths.
    """

    def __init__(self) -> None:
        super().__init__()
        self.served: dict[str, str] = {}
        self.keyed: dict[str, str] = {}

    def __contains__(self, real: object) -> bool:
        return isinstance(real, str) and self.get(real) is not None

    def get(self, real: str, default: str | None = None) -> str | None:  # type: ignore[override]
        """Why a mount point is not entered; `default` if it may be."""
        path = self.served.get(real, "") or (self._beneath(real) if self.keyed else "")
        if path and path not in _heard:
            _heard[path] = _answers(path)
        if not _heard.get(path, True):
            self[real] = "the file system that is mounted there does not answer"
        return super().get(real, default)

    def any_of(self, paths: Collection[str]) -> bool:
        """Whether one of these is not entered."""
        points = self.keys() | self.served.keys()
        found = points.intersection(paths)
        if self.keyed:
            found.update(each for each in paths if self._beneath(each))
        return any(real in self for real in found)

    def _beneath(self, real: str) -> str:
        """The path of what an automounter is to mount at a real path; "" if that is none of his."""
        above, _, name = real.rpartition("/")
        return f"{self.keyed[above]}/{name}" if above in self.keyed else ""


class Mounts(Value):
    """What is mounted below a root, by real path.

    known: the number of each mount that root has made. closed: those that are not entered, and why.
    """

    known: dict[str, str]
    closed: Closed


def below(root: str) -> Mounts:
    """The mounts below a root, as they are now."""
    return _sort(root, _read())


def closed_in(root: str) -> Closed:
    """The mount points below a root that are not entered; nearly always none."""
    table = _read()
    return _sort(root, table).closed if any(kind in table for kind in KINDS) else Closed()


def mount_of(descriptor: int) -> str:
    """The number of the mount that a descriptor is on (proc(5), fdinfo); asks no file system."""
    with open(f"/proc/self/fdinfo/{descriptor}", "rb", buffering=0) as file:
        return file.read(4096).partition(b"mnt_id:")[2].split()[0].decode()


def connections() -> list[str]:
    """The numbers by which the kernel knows the connections of users' FUSE file systems."""
    return [each.device.partition(":")[2] for each in mount_table.parse(_read()) if each.user]


def _sort(root: str, table: str) -> Mounts:
    top = "/" if root == "/" else root + "/"
    known: dict[str, str] = {}
    closed = Closed()
    for each in mount_table.parse(table):
        if not each.point.startswith(top) or each.point == top:
            continue
        real = each.point[len(top) :]
        known.pop(real, None)  # what is mounted last lies on top
        closed.pop(real, None)
        closed.served.pop(real, None)
        closed.keyed.pop(real, None)
        if each.user:
            closed[real] = f"user {each.user} has mounted a file system there, which is not entered"
            continue
        known[real] = each.number
        if each.kind == _AUTO and "indirect" in each.options.split(","):
            closed.keyed[real] = each.point
        elif each.kind == _AUTO or each.kind.partition(".")[0] in _SERVED:
            closed.served[real] = each.point
    return Mounts(known, closed)


def _answers(path: str) -> bool:
    """Whether the file system that is mounted at a path says anything, be it an error."""
    from allie.machine.programs import process  # noqa: PLC0415 - see HACKING.md, start-up

    def ask() -> int:
        process.cut_loose()  # it may be left behind, and then holds no lock
        with suppress(OSError):
            os.statvfs(path)
        return 0

    pid = process.fork(ask, (None, None, None))
    if process.wait_until(pid, time.monotonic() + _SILENT) is not None:
        return True
    os.kill(pid, signal.SIGKILL)
    return False


def _read() -> str:
    """The table of mounts; empty where there is no /proc."""
    try:
        return mount_table.read()
    except OSError:
        return ""
