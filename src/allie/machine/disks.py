"""Find a system's file system by its label, and mount it for this process alone.

The mount is seen by this process and its children only, and goes with the last of them.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from allie.core import whereabouts
from allie.core.errors import StateError, UsageError
from allie.core.value import Value
from allie.machine import atomic, mounting, process

_LONGEST = 16  # characters of an ext4 label; mkfs.ext4 cuts off the rest
_AS_SYSTEM = ("rw,dev,suid,exec",)  # device files in it work
_BLKID_NOTHING = 2  # its exit status where it finds nothing


class Partition(Value):
    """A partition as a disk's table has it."""

    node: str  # its device file
    name: str  # its PARTLABEL; "" where the table has no names
    kind: str  # its type: with GPT a GUID in capitals
    start: int  # in sectors, as is size
    size: int
    sector: int  # bytes of one

    @property
    def mib(self) -> int:
        """Its size in MiB."""
        return self.size * self.sector >> 20


def devices(label: str) -> list[str]:
    """The partitions that a LABEL= or PARTLABEL= names; on a healthy PC one, or none."""
    if process.has_program("blkid"):
        # -c /dev/null: its cache may know disks that are gone
        out = process.run(["blkid", "-c", "/dev/null", "-o", "device", "-t", label]).out
        found = [line.strip() for line in out.decode(errors="replace").splitlines()]
        if any(found):
            return [device for device in found if device]
    link = whereabouts.device(label)
    return [os.path.realpath(link)] if os.path.exists(link) else []


def device(label: str) -> str:
    """The one partition with a label; "" if there is none. Raises StateError if there are more."""
    found = devices(label)
    if len(found) > 1:
        raise StateError(
            f"{len(found)} file systems have {label}: {' '.join(found)}",
            "give each its own label (e2label, xfs_admin -L, btrfs filesystem label)",
        )
    return found[0] if found else ""


def make(device: str, label: str) -> None:
    """Make an ext4 file system with a label (LABEL=x), or on PARTLABEL=x.

    Raises StateError where the device holds anything at all that blkid knows.
    """
    if not stat.S_ISBLK(os.stat(device).st_mode):
        raise UsageError(f"{device} is no block device")
    if label.startswith("LABEL=") and len(label) > len("LABEL=") + _LONGEST:
        raise UsageError(
            f"{label}: on ext4 a label has at most {_LONGEST} characters",
            "give the system another root in allie.conf",
        )
    found = contents(device)
    if found:
        raise _holds(device, found, "")
    kind, _, name = label.partition("=")
    if kind == "PARTLABEL" and os.path.realpath(device) not in devices(label):
        raise UsageError(f"{device} is not the partition {label}")
    argv = ["mkfs.ext4", "-q", "-F"] + (["-L", name] if kind == "LABEL" else [])
    process.run([*argv, device], check=True)


def contents(device: str) -> dict[str, str]:
    """What blkid(8) finds on a device itself, in its words: TYPE, LABEL, PTTYPE; {} if nothing.

    Raises StateError where it cannot tell.
    """
    probe = process.run(["blkid", "-p", "-o", "export", device])
    lines = probe.out.decode(errors="replace").splitlines()
    words = [line for line in lines if not line.startswith(("DEVNAME=", "PART_ENTRY_"))]
    found = dict(line.partition("=")[::2] for line in words)
    if probe.code not in (0, _BLKID_NOTHING):
        raise _holds(device, found, probe.last_words())
    return found


def _holds(device: str, found: dict[str, str], otherwise: str) -> StateError:
    words = " ".join(f"{name}={value}" for name, value in found.items()) or otherwise
    return StateError(f"{device} holds something: {words}", f"if it may go: wipefs --all {device}")


def partitions(disk: str) -> list[Partition]:
    """The partitions of a disk, in the order of its table; [] if it has none."""
    finished = process.run(["sfdisk", "--json", disk])
    if finished.code:
        return []
    table = json.loads(finished.out)["partitiontable"]
    sector = table.get("sectorsize", 512)
    return [
        Partition(
            each["node"],
            each.get("name", ""),
            each["type"].upper(),
            each["start"],
            each["size"],
            sector,
        )
        for each in table.get("partitions", ())
    ]


def can_mount(kind: str) -> bool:
    """Whether the kernel knows a kind of file system, or loads its module."""
    if kind in (atomic.read("/proc/filesystems") or "").split():
        return True
    return process.has_program("modprobe") and process.run(["modprobe", "-q", kind]).code == 0


@contextmanager
def read(device: str, at: str) -> Iterator[str]:
    """Mount a file system to read in it, and write nothing on its device: no journal is replayed.

    noload is what ext4 calls that, norecovery what xfs and btrfs do. The directory goes, too.
    """
    with passing(device, at, ("ro,noload", "ro,norecovery")):
        yield at


@contextmanager
def passing(device: str, at: str, options: Sequence[str] = _AS_SYSTEM) -> Iterator[str]:
    """Mount a file system as `mounted` does, at a directory that goes again."""
    try:
        with mounted(device, at, options):
            yield at
    finally:
        os.rmdir(at)


@contextmanager
def mounted(device: str, at: str, options: Sequence[str] = _AS_SYSTEM) -> Iterator[str]:
    """Mount a file system at `at` (made if need be), seen by this process and its children alone.

    options: of these, the first that the file system takes. Device files in it work (nodev is not
    set): it is a system. Raises StateError if it cannot be mounted.
    """
    mounting.become_private()
    os.makedirs(at, 0o700, exist_ok=True)
    for each in options:
        done = process.run(["mount", "-o", each, device, at])
        if done.code == 0:
            break
    if done.code != 0:
        raise StateError(f"cannot mount {device}: {done.last_words()}", f"mount {device} /mnt")
    try:
        yield at
    finally:
        mounting.unmount(at)


def is_running(root: str) -> bool:
    """Whether a root, however it is reached, is that of the system that runs now."""
    return os.path.samefile("/", root)


def users(root: str) -> list[int]:
    """The processes that run in a root, chrooted or otherwise entered: its programs are theirs."""
    marks = set()
    for name in ("", "usr", "bin"):
        try:
            st = os.stat(f"{root}/{name}", follow_symlinks=not name)
            marks.add((st.st_dev, st.st_ino))
        except OSError:
            continue
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in ("", "/usr", "/bin"):
            try:
                st = os.stat(f"/proc/{pid}/root{name or '/'}", follow_symlinks=not name)
            except OSError:
                continue  # it ended, or has no such directory
            if (st.st_dev, st.st_ino) in marks:
                found.append(int(pid))
                break
    return found
