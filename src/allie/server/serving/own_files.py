"""What of the doors' own files is not as it is to be: looked at by a check, mended by nobody."""

from __future__ import annotations

import os
import stat

from allie.machine.files import atomic
from allie.server import store as stores
from allie.server import store_conf
from allie.server.doors import enrolled
from allie.server.places import Places
from allie.server.serving import setup


def flaws(places: Places) -> list[str]:
    """Each flaw as a line."""
    found = [
        f"{places.enrolled}: line {number} is none that `allie store enrol` writes"
        for number in enrolled.strange_lines(atomic.read(places.enrolled) or "", places.own)
    ]
    other = setup.writable_by_others(places.etc) if os.path.isdir(places.etc) else ""
    if other:
        found.append(f"others than root can write to {other}, and so put keys into {places.etc}")
    closed = (*(f"{places.store}/{name}" for name in stores.CLOSED), places.host_key)
    found += [f"others than root can look into {path}" for path in filter(_is_open, closed)]
    wanted = setup.texts(places, store_conf.read(places.store))
    found += [
        f"{path} is not as `allie store setup` writes it: run that again"
        for path, text in wanted.items()
        if atomic.read(path) != text
    ]
    return found


def _is_open(path: str) -> bool:
    return os.path.exists(path) and bool(stat.S_IMODE(os.stat(path).st_mode) & 0o077)
