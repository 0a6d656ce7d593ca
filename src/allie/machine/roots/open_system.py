"""Find a system's things: every place of ALLiE's own, resolved inside the system's root."""

from __future__ import annotations

import os

from allie.core import system
from allie.core.errors import PathRefused, SettingsError, StateError
from allie.core.system import System
from allie.machine.files import atomic
from allie.machine.mounts import user_mounts
from allie.machine.roots import paths

SPARE = "spare-"  # … logs or run, in the state, while their own place takes no writes


def open_system(root: str = "/") -> System:
    """The system that a root holds. Its name is "" where nobody has joined yet.

    Raises StateError if the root is no directory, PathRefused if one of our places leads nowhere,
    but for logs and run, which have a spare one.
    """
    if not os.path.isdir(root):
        raise StateError(f"{root} is not a directory")
    real = os.path.realpath(root)
    inside = paths.Inside(real, paths.LinkBounds(closed=user_mounts.closed_in(real)))

    def at(path: str, place: str = "") -> str:
        try:
            return inside.prefix + inside.directory(path).real
        except PathRefused:
            if not place:
                raise
            return at(f"{system.STATE}/{SPARE}{place}")

    etc = at("etc/allie")
    return System(
        root=real,
        name=(atomic.read(f"{etc}/system") or "").strip(),
        etc=etc,
        conf=at(system.CONF),
        done=at(system.DONE),
        logs=at("var/log/allie", "logs"),
        run=at("run/allie", "run"),
        state=at(system.STATE),
    )


def need_name(here: System) -> str:
    """The system's own name. Raises SettingsError where it has not joined a store.

    Raises StateError where we are not root: nothing could be seen, and would be taken for nothing.
    """
    if os.path.isdir(here.state) and not os.access(here.state, os.R_OK | os.X_OK):
        raise StateError(f"{here.state} is for root alone", "run this as root")
    if not here.name:
        words = f"{here.at(system.NAME)} is missing: this system has not joined a store"
        raise SettingsError(words, how_to_join(here))
    return here.name


def how_to_join(here: System) -> str:
    """The command by which a system comes to follow a store."""
    return f"allie join rsync://server{'' if here.is_base else f' --root {here.root}'}"


def runs_systemd(here: System) -> bool:
    """Whether this is the running system, and systemd runs it (sd_booted(3))."""
    return here.is_base and os.path.isdir("/run/systemd/system")
