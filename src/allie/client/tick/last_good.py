"""The last good client: a copy of the archive with which a whole tick went well.

After such a tick the unpacked code of older versions is removed, too.
"""

from __future__ import annotations

import os
import time

import allie
from allie.core import stubs, system
from allie.core.change.report import Report
from allie.core.lean import suppress
from allie.core.system import System
from allie.machine.code import cache
from allie.machine.files import atomic, tree

_DAY = 86400  # seconds

Mark = tuple[int, int, int]


def mark(here: System) -> Mark | None:
    """Which archive is in place now: (inode, mtime_ns, size); None if there is none."""
    return _mark(here.at(system.ARCHIVE))


def _mark(path: str) -> Mark | None:
    try:
        st = os.stat(path)
    except OSError:
        return None
    return (st.st_ino, st.st_mtime_ns, st.st_size)


def keep(here: System, at_start: Mark | None, report: Report) -> None:
    """Keep a copy of the archive, if this tick ran with it from beginning to end and was good."""
    parts = [each for each in report.scripts if each.name in stubs.PARTS]
    good = len(parts) == len(stubs.PARTS) and all(each.state == "satisfied" for each in parts)
    if not here.is_base or not good or report.contact.trouble or at_start != mark(here):
        return
    _remove_old_code()
    path = f"{here.state}/last-good"
    kept = _mark(path)
    if at_start is None or (kept and kept[1:] == at_start[1:]):
        return
    archive = here.at(system.ARCHIVE)
    with open(archive, "rb") as file:
        atomic.write(path, file.read(), 0o755)
    os.utime(path, ns=(at_start[1], at_start[1]))


def _remove_old_code() -> None:
    """Remove what is unpacked and not run, after a day: it may be running in another root."""
    if not allie.__file__.startswith(cache.CODE):
        return
    for name in os.listdir(cache.CODE):
        place = f"{cache.CODE}/{name}"
        running = allie.__file__.startswith(f"{place}/")
        if not running and time.time() - os.lstat(place).st_mtime > _DAY:
            with suppress(OSError):
                tree.remove(place)
