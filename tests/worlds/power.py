"""A disk whose power can be cut: a file system on a loop device, shut down as it stands.

What the kernel had not written yet is lost, and what a program writes from then on fails. It is the
file system's own ioctl for such tests (`godown` of xfstests); ext4 and xfs have it.

    with PowerDisk(tmp_path / "disk", "ext4") as disk:
        disk.at ...          # mounted here
        disk.cut()           # now
        disk.back()          # the journal is replayed
"""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import time
from pathlib import Path

KINDS = {"ext4": 128, "xfs": 320}  # MiB
_GOING_DOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN
_NO_LOG_FLUSH = struct.pack("I", 2)
_PATIENCE = 300.0  # seconds: what the last namespace held is let go of late on a busy machine


class PowerDisk:
    """The disk; a context manager."""

    def __init__(self, place: Path, kind: str) -> None:
        self.file = place.with_name(place.name + ".img")
        self.at = place
        self.kind = kind

    def __enter__(self) -> PowerDisk:
        self.at.mkdir()
        with self.file.open("wb") as made:
            made.truncate(KINDS[self.kind] << 20)
        self.device = _run("losetup", "--show", "-f", str(self.file)).strip()
        _run(f"mkfs.{self.kind}", "-q", "-F" if self.kind == "ext4" else "-f", self.device)
        _run("mount", self.device, str(self.at))
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._unmount()
        finally:  # what somebody uses goes once he has ended
            subprocess.run(["umount", "--lazy", self.at], capture_output=True, check=False)
            _run("losetup", "-d", self.device)
            self.file.unlink()

    def sync(self) -> None:
        """All that was written so far is on the disk."""
        _run("sync", "-f", str(self.at))

    def cut(self, *, journal: bool = False) -> None:
        """The power goes.

        journal: the last thing that was done is to commit the journal, as the kernel does every
        few seconds: names and sizes are on the disk, and of the content perhaps nothing.
        """
        top = os.open(self.at, os.O_RDONLY)
        try:
            if journal:
                os.fsync(top)
            fcntl.ioctl(top, _GOING_DOWN, _NO_LOG_FLUSH)
        finally:
            os.close(top)

    def back(self) -> None:
        """The power is back. All who used the disk must have ended."""
        self._unmount()
        deadline = time.monotonic() + _PATIENCE
        while True:  # the last mount may be that of a namespace which is just ending
            _run("mount", self.device, str(self.at))
            if _takes_a_file(self.at):
                return
            self._unmount()
            assert time.monotonic() < deadline, f"somebody holds {self.device}"
            time.sleep(0.1)

    def _unmount(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while subprocess.run(["umount", str(self.at)], capture_output=True, check=False).returncode:
            assert time.monotonic() < deadline, f"somebody uses {self.at}"
            time.sleep(0.1)


def _takes_a_file(at: Path) -> bool:
    try:
        (at / "try").touch()
        (at / "try").unlink()
    except OSError:
        return False
    return True


def _run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout
