"""The last good client: a copy of the archive with which a whole tick went well.

After such a tick the unpacked code of older versions is removed, too.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

import allie
from allie.core import system
from allie.core.change.report import Report
from allie.core.system import System
from allie.machine.code import cache
from allie.machine.files import atomic, tree

_DAY = 86400  # seconds

Mark = tuple[int, int, int]


def mark(here: System) -> Mark | None:
    """Which archive is in place now: (inode, mtime_ns, size); None if there is none."""
    try:
        st = os.stat(here.at(system.ARCHIVE))
    except OSError:
        return None
    return (st.st_ino, st.st_mtime_ns, st.st_size)


def keep(here: System, at_start: Mark | None, report: Report) -> None:
    """Keep a copy of the archive, if this tick ran with it from beginning to end and was good."""
    parts = [each for each in report.scripts if each.name in ("00overlay", "01overact")]
    good = len(parts) == 2 and all(each.state == "satisfied" for each in parts)
    if not here.is_base or not good or report.contact.trouble or at_start != mark(here):
        return
    if allie.__file__.startswith(cache.CODE):
        _remove_old_code()
    path = f"{here.state}/last-good"
    if at_start is None or _same(path, at_start):
        return
    archive = here.at(system.ARCHIVE)
    with open(archive, "rb") as file:
        atomic.write(path, file.read(), 0o755)
    os.utime(path, ns=(at_start[1], at_start[1]))


def _remove_old_code() -> None:
    """Remove the unpacked code of other versions, and what an unpacking left that was killed.

    Not what is younger than a day: somebody may have it running in another root.
    """
    for name in os.listdir(cache.CODE):
        place = f"{cache.CODE}/{name}"
        running = allie.__file__.startswith(f"{place}/")
        if not running and time.time() - os.lstat(place).st_mtime > _DAY:
            with suppress(OSError):
                tree.remove(place)


def _same(path: str, wanted: Mark) -> bool:
    try:
        st = os.stat(path)
    except OSError:
        return False
    return (st.st_mtime_ns, st.st_size) == wanted[1:]
