"""Remove what a killed or failed rsync left in the root: its temp files, and nothing else (A10)."""

from __future__ import annotations

import os
import re
import stat

from allie.client import swap
from allie.core import intent as intents
from allie.core.errors import PathRefused
from allie.core.intent import Intent, Step
from allie.core.system import System
from allie.machine import paths, tree

_DELAYED = ".~tmp~"  # where rsync --delay-updates gathers what it will rename


class _Ours:
    """What a killed rsync may have left in one directory."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.steps: set[str] = set()  # what is to stay, even if it looks like a temporary one
        self.special: set[str] = set()  # links, pipes, devices
        self.owners = {0}

    def add(self, name: str, step: Step) -> None:
        """rsync leaves out a second dot at the beginning."""
        self.names.add(name)
        self.steps.add(step.real.rpartition("/")[2])
        if step.wanted[0][:2] != "f:":
            self.special.add(name)
        self.owners.update(int(uid) for uid in step.wanted[1].split(" ")[1:2])

    def temporary(self, directory: int, name: str) -> bool:
        """Whether this is a temporary file of ours: .NAME.XXXXXX, a link .NAME.<number>.

        So is a hard link that was about to be renamed to its place.
        """
        st = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if st.st_uid not in self.owners or stat.S_ISDIR(st.st_mode):
            return False
        if stat.S_ISREG(st.st_mode):
            suffix = "(?:[A-Za-z0-9]{6}|[0-9]+)" if st.st_nlink > 1 else "[A-Za-z0-9]{6}"
            return bool(_pattern(self.names, suffix).fullmatch(name))
        return bool(self.special and _pattern(self.special, "[0-9]+").fullmatch(name))


def _pattern(names: set[str], suffix: str) -> re.Pattern[str]:
    either = "|".join(sorted(re.escape(name[name.startswith(".") :]) for name in names))
    return re.compile(rf"\.(?:{either})\.{suffix}", re.DOTALL)


def remove(here: System, intent: Intent) -> None:
    """Clean each directory that the intent writes into."""
    found: dict[str, _Ours] = {}
    for step in intent.steps:
        if intents.writes(step):
            for path in (step.real, swap.laid_as(step)):
                above, _, name = path.rpartition("/")
                found.setdefault(above, _Ours()).add(name, step)
        elif intents.moves_tree(step):
            _remove_moved(here, step.real)
    for above, ours in found.items():
        try:
            with paths.parent_descriptor(here.root, f"{above}/." if above else ".") as (parent, _):
                _clean(parent, ours)
        except (OSError, PathRefused):
            continue  # the directory was never made, or is none any more


def _remove_moved(here: System, real: str) -> None:
    """What is left of a tree that was on its way out."""
    try:
        with paths.parent_descriptor(here.root, real) as (parent, name):
            tree.remove(f"{paths.through(parent)}/{swap.beside(name)}")
    except (OSError, PathRefused):
        pass  # its directory is gone, too


def _clean(directory: int, ours: _Ours) -> None:
    listed = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        for name in os.listdir(listed):
            looks_so = name.startswith(".") and name not in (_DELAYED, *ours.steps)
            if looks_so and ours.temporary(listed, name):
                os.unlink(name, dir_fd=listed)
        if _DELAYED in os.listdir(listed):
            _remove_delayed(listed, ours)
    finally:
        os.close(listed)


def _remove_delayed(directory: int, ours: _Ours) -> None:
    """The directory of delayed updates goes only if it is root's and holds names of ours alone."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    delayed = os.open(_DELAYED, flags, dir_fd=directory)
    try:
        names = os.listdir(delayed)
        known = all(name in ours.names or ours.temporary(delayed, name) for name in names)
        if known and os.fstat(delayed).st_uid == 0:
            for name in names:
                os.unlink(name, dir_fd=delayed)
            os.rmdir(_DELAYED, dir_fd=directory)
    finally:
        os.close(delayed)
