"""A file as a disk with partitions, each of them a loop device of its own kind (/dev/loop0p1)."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.worlds.loop import looped

_PATIENCE = 10.0
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
    """The partitions of a loop device: the kernel finds them when told to.

    A blkid of anybody's may just read one, which then cannot go: it is tried again.
    """
    subprocess.run(["partx", "-a", device], check=True)
    try:
        yield
    finally:
        deadline = time.monotonic() + _PATIENCE
        name = Path(device).name
        while any(Path("/sys/block", name).glob(f"{name}p*")):
            if subprocess.run(["partx", "-d", device]).returncode:
                assert time.monotonic() < deadline, f"the partitions of {device} are in use"
                time.sleep(0.1)
