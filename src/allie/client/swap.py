"""Let a file take the place of a link, pipe or device, by one rename.

rsync removes such a thing before it writes the file, and whoever is killed between the two leaves
nothing. So rsync lays the file beside it, under a name that the clean-up takes for a temporary one,
and the rename is ours, once what stood there is in undo.
"""

from __future__ import annotations

import os

from allie.core.errors import PathRefused
from allie.core.intent import Step
from allie.core.system import System
from allie.machine import paths, process, rsync

_SUFFIX = "allie0"  # six letters or digits, as rsync has them


def laid_as(step: Step) -> str:
    """Where rsync lays a step: at its own path, or beside it."""
    stands, wanted = step.before[0], step.wanted[0]
    if stands[:1] in "f-d" or not wanted.startswith("f:"):
        return step.real
    return beside(step.real)


def beside(real: str) -> str:
    """The path beside another under which it comes, or goes."""
    above, slash, name = real.rpartition("/")
    return f"{above}{slash}.{name[name.startswith('.') :]}.{_SUFFIX}"


def finish(here: System, steps: list[Step], keep: str) -> dict[str, str]:
    """Rename what was laid beside; what stood there goes to `keep`. Problems by real path."""
    problems = {}
    for step in steps:
        laid = laid_as(step).rpartition("/")[2]
        if laid_as(step) == step.real:
            continue
        try:
            with paths.parent_descriptor(here.root, step.real) as (parent, name):
                os.stat(laid, dir_fd=parent, follow_symlinks=False)
                _keep(here, (parent, name), f"{keep}/{step.real}")
                os.rename(laid, name, src_dir_fd=parent, dst_dir_fd=parent)
        except (OSError, PathRefused, process.ProgramFailed) as error:
            problems[step.real] = f"cannot take the place of what stands there: {error}"
    return problems


def copy_out(here: System, parent: int, names: list[str], into: str) -> None:
    """Copy names below an open directory, where undo is on another disk than they."""
    able = rsync.version(f"{here.state}/rsync")
    argv = rsync.copy_out(able, paths.through(parent), into)
    process.run(argv, stdin=rsync.names(names), keep=[parent], check=True)


def _keep(here: System, at: tuple[int, str], kept: str) -> None:
    """Have what stands there in undo, and leave it where it is."""
    parent, name = at
    into = os.path.dirname(kept)
    os.makedirs(into, 0o700, exist_ok=True)
    if os.path.lexists(kept):
        os.unlink(kept)
    try:
        os.link(name, kept, src_dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return
    except OSError:
        copy_out(here, parent, [name], into)
