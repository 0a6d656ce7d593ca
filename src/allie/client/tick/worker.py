"""A forked child in which the work of the kit's stubs is done: that of both parts, one by one.

    orders   → a stub's name
    results  ← the exit status of its work
    output   ← what it prints

It is watched, bounded and ended as a program would be (`script_process`). What one part has loaded
need not be loaded for the other one. It ends when its orders do, and with us.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from allie.core import stubs
from allie.core.system import System
from allie.machine.programs import process

Work = Callable[[System], int]  # what a stub of the kit does; returns its exit status

_LET_GO = 1.0  # seconds to end in


class Worker:
    """The child. env: what a program would have found in its environment."""

    def __init__(
        self, here: System, works: Mapping[str, Work], env: Mapping[str, str], keep: Sequence[int]
    ) -> None:
        theirs, self._orders = os.pipe()
        self.results, answers = os.pipe()
        self.output, printed = os.pipe()

        def serve() -> int:
            os.close(self._orders)
            os.environ.update(env)
            os.chdir("/")
            while name := os.read(theirs, 4096).decode():
                code = works[name](here)
                sys.stdout.flush()
                sys.stderr.flush()
                os.write(answers, str(code).encode())
            return 0

        streams = (None, printed, printed)
        self.pid = process.fork(serve, streams, keep=keep, dies_with_us=None)
        for descriptor in (theirs, answers, printed):
            os.close(descriptor)

    def begin(self, name: str) -> None:
        """Have it do a stub's work."""
        self.is_free = False
        os.write(self._orders, name.encode())

    def result(self) -> int | None:
        """The exit status of the work, once `results` is readable; None: the child has ended."""
        said = os.read(self.results, 99)
        self.is_free = bool(said)
        return int(said) if said else None

    def dismiss(self) -> None:
        """Let it end; one that was ended, and hangs all the same, is left behind."""
        for descriptor in (self._orders, self.results, self.output):
            os.close(descriptor)
        with suppress(ChildProcessError):
            process.wait_until(self.pid, time.monotonic() + _LET_GO)


class Workers:
    """Who does the stubs' work of one tick: a child at a time.

    works: by stub. keep: descriptors that what it starts inherits.
    """

    def __init__(self, works: Mapping[str, Work], keep: Sequence[int]) -> None:
        self._works, self._keep = works, keep
        self._last: Worker | None = None
        self._did = ""

    def hire(self, here: System, name: str, env: Mapping[str, str]) -> Worker:
        """The child for a stub: for the second part that of the first, if nothing ran between."""
        both = here.is_base and name in stubs.PARTS and self._did in stubs.PARTS
        if not (both and self._last and self._last.is_free):
            self.dismiss()
            self._last = Worker(here, self._works, env, self._keep)
        self._did = name
        return self._last

    def dismiss(self) -> None:
        """Let the child end that is there: a script may now change all that it knows."""
        if self._last:
            self._last.dismiss()
        self._last = None
