"""A file that nobody else gets to open (fcntl(2), leases)."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def lease(path: Path) -> Iterator[None]:
    """Whoever opens it is told to come again."""
    own = os.open(path, os.O_RDWR)
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        fcntl.fcntl(own, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield
    finally:
        os.close(own)
        signal.signal(signal.SIGIO, before)
