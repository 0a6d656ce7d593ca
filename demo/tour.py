"""The tour from its arguments to its end; the steps themselves stand in steps.py.

It leaves nothing behind, however it ends: the daemon is ended, its directory is removed.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from demo import stage, steps, terminal
from demo.stage import Stage

_INTERRUPTED = 130
_INTRODUCTION = """\
A tour of ALLiE: a store, and three PCs that follow it. All of it is real (rsync over TCP, scripts,
root file systems) and lives in one directory: store/, and a directory for each PC. The commands
are run in that directory, {top}. Here a PC's client is told
which PC it is for, --root pc07; on a PC itself it is just `allie`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Show all steps; 0 if everything was as it is said to be, 1 if not."""
    parser = argparse.ArgumentParser(prog="make demo", description="The tour of ALLiE.")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave store and PCs in DIR")
    keep: Path | None = parser.parse_args(argv).keep
    trouble = _trouble(keep)
    if trouble:
        print(f"demo: {trouble}", file=sys.stderr)
        return 2
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal that lacks ✓
    os.umask(0o022)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        _show(keep.resolve() if keep else None)
    except terminal.ClaimFailed as failed:
        print(f"\ndemo: {failed}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        left = f"what there is, is in {keep}" if keep else "everything is cleaned up"
        print(f"\ndemo: interrupted; {left}", file=sys.stderr)
        return _INTERRUPTED
    return 0


def _trouble(keep: Path | None) -> str:
    """Why the tour cannot take place; "" if it can."""
    if os.geteuid() != 0:
        return (
            "it must be run as root: conf scripts run chrooted in each PC's directory, in "
            "namespaces of their own, and files get their owners. It keeps to a directory of its "
            "own. Try: sudo make demo"
        )
    if keep and keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        return f"{keep} is there already; name a new or an empty directory"
    return ""


def _show(keep: Path | None) -> None:
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="allie-demo-") as parent,
        stage.stage(keep, Path(parent)) as scene,
    ):
        terminal.say(_INTRODUCTION.format(top=scene.top))
        for number, (title, step) in enumerate(steps.STEPS, 1):
            terminal.heading(number, len(steps.STEPS), title)
            step(scene)
        took = time.monotonic() - began
        terminal.say(f"That was all, in {took:.0f} s; every ✓ was looked up, not just printed.")
        if keep:
            _how_to_go_on(scene)
        else:
            terminal.say("With a server and a PC of yours: docs/tutorial.md.")


def _how_to_go_on(scene: Stage) -> None:
    """What to type to play on by hand."""
    serve = ["allie", *scene.server.command(scene.server.port)[1:]]
    serve[0] = str(Path(sys.executable).parent / "allie")
    print(
        f"\nStore and PCs are left in {scene.top}. To go on by hand, serve the store:\n\n"
        f"    cd {shlex.quote(str(scene.top))}\n"
        f"    {shlex.join(serve)} &\n\n"
        f"change files in {stage.COMMON}/, and let a PC have its tick:\n\n"
        f"    {stage.client('pc07')} run-conf\n"
        f"    {stage.client('pc07')} status\n\n"
        "At the end: kill %1"
    )


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
