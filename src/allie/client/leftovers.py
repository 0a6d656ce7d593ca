"""Remove what a killed or failed rsync left in the root: its temp files, and nothing else (A10)."""

from __future__ import annotations

import os
import re
import stat

from allie.client import swap
from allie.core import intent as intents
from allie.core.errors import PathRefused
from allie.core.intent import Intent
from allie.core.system import System
from allie.machine import paths

_DELAYED = ".~tmp~"  # where rsync --delay-updates gathers what it will rename


def remove(here: System, intent: Intent) -> None:
    """Clean each directory that the intent writes into."""
    names: dict[str, set[str]] = {}
    for step in intent.steps:
        if intents.writes(step):
            for path in (step.real, swap.laid_as(step)):
                above, _, name = path.rpartition("/")
                names.setdefault(above, set()).add(name)
    for above, ours in names.items():
        try:
            with paths.parent_descriptor(here.root, f"{above}/." if above else ".") as (parent, _):
                _clean(parent, ours)
        except (OSError, PathRefused):
            continue  # the directory was never made, or is none any more


def _clean(directory: int, ours: set[str]) -> None:
    listed = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        pattern = _temporary(ours)
        for name in os.listdir(listed):
            if pattern.fullmatch(name) and _is_ours(listed, name, stat.S_ISREG):
                os.unlink(name, dir_fd=listed)
        if _DELAYED in os.listdir(listed) and _is_ours(listed, _DELAYED, stat.S_ISDIR):
            _remove_delayed(listed, ours)
    finally:
        os.close(listed)


def _remove_delayed(directory: int, ours: set[str]) -> None:
    """The directory of delayed updates goes only if it holds names of the intent alone."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    delayed = os.open(_DELAYED, flags, dir_fd=directory)
    try:
        pattern = _temporary(ours)
        names = os.listdir(delayed)
        if all(name in ours or pattern.fullmatch(name) for name in names):
            for name in names:
                os.unlink(name, dir_fd=delayed)
            os.rmdir(_DELAYED, dir_fd=directory)
    finally:
        os.close(delayed)


def _temporary(names: set[str]) -> re.Pattern[str]:
    """rsync writes NAME as .NAME.XXXXXX first, and .NAME too."""
    either = "|".join(sorted(re.escape(name[name.startswith(".") :]) for name in names))
    return re.compile(rf"\.(?:{either})\.[A-Za-z0-9]{{6}}", re.DOTALL)


def _is_ours(directory: int, name: str, kind: object) -> bool:
    st = os.stat(name, dir_fd=directory, follow_symlinks=False)
    return st.st_uid == 0 and callable(kind) and bool(kind(st.st_mode))
