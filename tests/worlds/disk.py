"""A file as a disk with partitions, each of them a loop device of its own kind (/dev/loop0p1)."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.worlds.debian import locked
from tests.worlds.loop import looped

BIOS, ESP, LINUX = "21686148-6449-6E6F-744E-656564454649", "U", "L"


@contextmanager
def partitioned(file: Path, size: str, *partitions: tuple[str, str]) -> Iterator[str]:
    """A new disk of this size (`2G`) as `/dev/loop0`; of each partition (its size, its type)."""
    subprocess.run(["truncate", "-s", size, str(file)], check=True)
    lines = [f"size={each},type={kind}" if each else f"type={kind}" for each, kind in partitions]
    table = "\n".join(["label: gpt", *lines]) + "\n"
    subprocess.run(["sfdisk", "-q", str(file)], input=table, text=True, check=True)
    with looped(file) as device, numbered(device):
        yield device


@contextmanager
def numbered(device: str) -> Iterator[None]:
    """The partitions of a loop device: the kernel finds them when told to."""
    with alone():
        subprocess.run(["partx", "-a", device], check=True)
        try:
            yield
        finally:
            _forget(device)


def _forget(device: str) -> None:
    """Somebody's blkid, which looks at all disks, may have a partition open for an instant."""
    folder = Path("/sys/block", Path(device).name)
    for _ in range(50):
        subprocess.run(["partx", "-d", device], capture_output=True, check=False)
        if not any(folder.glob(f"{folder.name}p*")):
            return
        time.sleep(0.1)
    raise AssertionError(f"somebody holds a partition of {device}")


@contextmanager
def alone() -> Iterator[None]:
    """No other test, of any run, has a disk of ALLiE's meanwhile; not to be had twice at once.

    Its labels are for the whole machine, and where two disks have the same one, that is an error.
    """
    with locked("disks"):
        yield
