"""A file as a disk: a loop device, which goes when it is done with."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.worlds.waiting import until


@contextmanager
def looped(file: Path) -> Iterator[str]:
    """The loop device of a file, as `/dev/loop0`. Needs root."""
    asked = ["losetup", "-f", "--show", str(file)]
    device = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "-d", device], check=True)
        until(lambda: not _devices(file), "the kernel lets go of it, once nobody looks at it")


def _devices(file: Path) -> str:
    asked = ["losetup", "--associated", str(file)]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout
