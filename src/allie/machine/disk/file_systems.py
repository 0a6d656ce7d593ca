"""Mount file systems of this PC's disks, look what they hold, and make one for `system add`.

A mount is seen by this process and its children only, and goes with the last of them. Nothing here
decides whether a disk may be mounted: that is client.situation.bound_disks's, which every command
asks first.
"""

from __future__ import annotations

import os
import stat
from _collections_abc import Iterator
from contextlib import contextmanager

from allie.core.errors import StateError, UsageError
from allie.core.value import Value
from allie.machine import libc
from allie.machine.disk import labelled
from allie.machine.files import atomic
from allie.machine.mounts import mount_call
from allie.machine.programs import process

_LONGEST = 16  # characters of an ext4 label; mkfs.ext4 cuts off the rest
_BLKID_NOTHING = 2  # its exit status where it finds nothing
# The kinds that are mounted, by the kernel's own code; no other, whatever a disk says that it is
SYSTEMS = ("ext4", "xfs", "btrfs", "f2fs", "ext3", "ext2")
BOOT = ("ext4", "vfat", "ext3", "ext2")
FAT = ("vfat",)


class Way(Value):
    """How a file system is mounted."""

    kinds: tuple[str, ...]  # that it may be
    flags: int  # of mount(2)
    options: tuple[str, ...] = ("",)  # of these the first that it takes


# A system's scripts run in it, with a /dev of their own: no device file on its disk is used.
AS_SYSTEM = Way(SYSTEMS, mount_call.NOSUID | mount_call.NODEV)
# One that was made just now from the store, and whose programs are run without more.
AS_NEW = Way(SYSTEMS, 0)
_FILES = mount_call.NOSUID | mount_call.NODEV | mount_call.NOEXEC
AS_FILES = Way(BOOT, _FILES)
AS_FAT = Way(FAT, _FILES, ("tz=UTC",))  # times that do not depend on what the clock's battery keeps
# noload is what ext4 calls it, norecovery what xfs and btrfs do: no journal is replayed.
TO_READ = Way(SYSTEMS, _FILES | mount_call.RDONLY, ("noload", "norecovery", ""))


def make(device: str, label: str) -> None:
    """Make an ext4 file system with a label (LABEL=x), or on PARTLABEL=x.

    Raises StateError where the device holds anything at all that blkid knows.
    """
    if not stat.S_ISBLK(os.stat(device).st_mode):
        raise UsageError(f"{device} is no block device")
    if label.startswith("LABEL=") and len(label) > len("LABEL=") + _LONGEST:
        words = f"{label}: on ext4 a label has at most {_LONGEST} characters"
        raise UsageError(words, "give the system another root in allie.conf")
    found = contents(device)
    if found:
        raise _holds(device, found, "")
    kind, _, name = label.partition("=")
    if kind == "PARTLABEL" and os.path.realpath(device) not in labelled.names(label):
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


def can_mount(kind: str) -> bool:
    """Whether the kernel knows a kind of file system, or loads its module."""
    if kind in (atomic.read("/proc/filesystems") or "").split():
        return True
    return process.has_program("modprobe") and process.run(["modprobe", "-q", kind]).code == 0


def kind_of(device: str) -> str:
    """What kind of file system a device holds; "" where nobody can tell."""
    return labelled.probe(device).get("TYPE", "")


@contextmanager
def passing(device: str, at: str, way: Way) -> Iterator[str]:
    """Mount a file system as `mounted` does, at a directory that goes again."""
    try:
        with mounted(device, at, way):
            yield at
    finally:
        os.rmdir(at)


@contextmanager
def mounted(device: str, at: str, way: Way, kind: str = "") -> Iterator[str]:
    """Mount a file system at `at` (made if need be), seen by this process and its children alone.

    kind: what it is, if that is known. Raises StateError if it cannot be mounted.
    """
    kind = kind or kind_of(device)
    if kind and kind not in way.kinds:
        raise StateError(
            f"{device} holds {kind}, which ALLiE does not mount", f"it mounts {' '.join(way.kinds)}"
        )
    mount_call.become_private()
    os.makedirs(at, 0o700, exist_ok=True)
    kinds = (kind,) if kind else way.kinds
    tries = ((each, options) for each in kinds for options in way.options)
    if not any(mount_call.mount(device, at, each, way.flags, options) for each, options in tries):
        raise StateError(f"cannot mount {device}: {libc.last_error()}", f"mount {device} /mnt")
    try:
        yield at
    finally:
        mount_call.unmount(at)
