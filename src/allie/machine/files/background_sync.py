"""Bring a tree to the disk while it is made, so that its maker hardly waits for that at its end.

A process of its own syncs the file system again and again. Only the sync at the end counts: by a
descriptor that was opened before anything came. For the kernel tells a descriptor of the errors
since it was opened, and one that is opened later of none that was told to another.
docs/internals/rules.md, "A tree in the making goes to the disk once".
"""

from __future__ import annotations

import os
import time

from allie.core.errors import StateError
from allie.core.lean import signal
from allie.machine.files import atomic
from allie.machine.programs import process

_PAUSE = 0.3  # seconds before a sync; or as long as the last one took. 0.05 was slower


class BackgroundSync:
    """As long as it lasts, what comes to the file system of a directory goes to the disk."""

    def __init__(self, tree: str) -> None:
        self._tree, self._pid = tree, 0

    def __enter__(self) -> BackgroundSync:
        self._held = os.open(self._tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._pid = process.fork(self._go_on, (None, None, None))
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        os.close(self._held)

    def finish(self) -> None:
        """All that came since the beginning is on the disk; StateError if some of it is not."""
        self._end()
        atomic.sync_descriptor(self._held, self._tree)

    def _end(self) -> None:
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            process.wait(self._pid)
            self._pid = 0

    def _go_on(self) -> int:
        pause = _PAUSE
        while True:
            time.sleep(pause)
            began = time.monotonic()
            try:
                atomic.sync_filesystem(self._tree)
            except StateError:
                return 0  # the sync at the end tells
            pause = max(_PAUSE, time.monotonic() - began)
