"""The forked child in which the work of the kit's stubs is done, and that of both parts in one.

It is watched, bounded and ended as a program would be (`script_process`), and ends with us: by its
lifeline, until it is to change something. What one part has loaded the other need not load.
"""

from __future__ import annotations

import os
import sys
import time
from _collections_abc import Callable, Mapping, Sequence

from allie.client.state.script_files import Script
from allie.core import stubs
from allie.core.lean import suppress
from allie.core.system import System
from allie.machine.programs import process
from allie.machine.programs.lifeline import Lifeline

Work = Callable[[System], int]  # what a stub of the kit does; returns its exit status
_LET_GO = 1.0  # seconds to end in


class Worker:
    """Who does the stubs' work of one tick."""

    def __init__(self, works: Mapping[str, Work]) -> None:
        self._works = works
        self._did = ""  # whose work came to an end
        self.pid = 0

    def begin(
        self, here: System, script: Script, env: Mapping[str, str], keep: Sequence[int]
    ) -> tuple[int, int]:
        """Have a stub's work done: of the second part by who did the first, if he is there.

        keep: descriptors that what it starts inherits. Its pid, and where its output comes from.
        """
        both = here.is_base and {script.name, self._did} <= stubs.PARTS.keys()
        if not both or process.wait_until(self.pid, 0.0) is not None:
            self.dismiss()
            self._fork(here, env, keep)
        self._did = ""
        os.write(self._orders, script.name.encode())
        return self.pid, self._output

    def _fork(self, here: System, env: Mapping[str, str], keep: Sequence[int]) -> None:
        orders, self._orders = os.pipe()
        self.results, results = os.pipe()
        self._output, output = os.pipe()
        self._lifeline = Lifeline()

        def serve() -> int:
            os.close(self._orders)
            self._lifeline.tie_ourselves()
            os.environ.update(env)
            os.chdir("/")
            while name := os.read(orders, 4096).decode():
                code = self._works[name](here)
                sys.stdout.flush()
                sys.stderr.flush()
                os.write(results, f"{code} {name}".encode())
            return 0

        self.pid = process.fork(serve, (None, output, output), keep=keep, dies_with_us=None)
        for descriptor in (orders, results, output):
            os.close(descriptor)

    def result(self) -> int | None:
        """The exit status, once `results` is readable; None: the child has ended."""
        said, _, self._did = os.read(self.results, 4096).decode().partition(" ")
        return int(said) if said else None

    def dismiss(self) -> None:
        """Let the child end; one that was ended, and hangs all the same, is left behind."""
        if self.pid:
            for descriptor in (self._orders, self.results, self._output):
                os.close(descriptor)
            with suppress(ChildProcessError):
                process.wait_until(self.pid, time.monotonic() + _LET_GO)
            self._lifeline.let_go()
        self.pid, self._did = 0, ""
