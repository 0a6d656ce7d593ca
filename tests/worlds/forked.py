"""The client without a new interpreter: its command line in a forked child of the tests.

As real as `PC.run` in all that it does to a root (the same code, the same programs, the same
processes below it), and some tenths of a second quicker. For tests that need hundreds of ticks.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple, TypeVar

# Read before the first fork: each child then finds them loaded.
from allie.cli import kit_scripts, plan, run_conf, selfcheck, status, undo  # noqa: F401
from allie.cli import main as command_line
from tests.worlds.pc import ENVIRONMENT

_T = TypeVar("_T")


class Result(NamedTuple):
    """How one run of the client ended; output and errors together."""

    rc: int
    out: str

    def ok(self) -> Result:
        """Itself, where it exited 0."""
        assert self.rc == 0, f"exit {self.rc}\n{self.out}"
        return self


def apart(function: Callable[..., _T], *args: object) -> _T:
    """What a function of a module returns, called in a process of its own: so are its mounts."""
    with get_context("fork").Pool(1) as pool:
        return pool.apply(function, args)


def work(root: Path, *args: str) -> Callable[[], int]:
    """What the forked child is to do: the client's command line, on a root."""
    return lambda: command_line.main(["--root", str(root), *args])


def allie(root: Path, *args: str) -> Result:
    """Run one verb on a root to its end."""
    with tempfile.TemporaryFile() as output:
        pid = os.fork()
        if not pid:
            become(work(root, *args), output.fileno())
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        output.seek(0)
        return Result(code, output.read().decode(errors="replace"))


def become(job: Callable[[], int], output: int) -> None:
    """In a forked child: be a client that cron or systemd started; never returns."""
    code = 99
    try:
        null = os.open("/dev/null", os.O_RDONLY)
        for target, descriptor in enumerate((null, output, output)):
            os.dup2(descriptor, target)
        sys.stdout = open(1, "w", closefd=False, errors="surrogateescape")  # noqa: SIM115
        sys.stderr = open(2, "w", closefd=False, errors="surrogateescape")  # noqa: SIM115
        kept = {name: os.environ[name] for name in ("TMPDIR",) if name in os.environ}
        os.environ.clear()
        os.environ.update(ENVIRONMENT, **kept)
        os.chdir("/")
        code = job()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException as error:  # nothing may unwind into the tests
        os.write(2, f"a traceback is a bug: {error!r}\n".encode(errors="replace"))
        import traceback

        os.write(2, traceback.format_exc().encode(errors="replace"))
    finally:
        os._exit(code)
