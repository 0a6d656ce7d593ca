"""Have systemd keep a mirror current: a service that mirrors once, and a timer that starts it."""

from __future__ import annotations

import os

from allie.server import systemd
from allie.server.systemd import Chore

EVERY = "15min"
NAME = "allie-mirror"
_UNIT = """\
Wants=network-online.target
After=network-online.target
RequiresMountsFor="{store}"
"""


def chore(source: str, store: str, bandwidth: str) -> Chore:
    """What systemd is to do. store: its real path."""
    words = ["store", "mirror", source, "--store", store]
    words += ["--bwlimit", bandwidth] if bandwidth else []
    return Chore(
        NAME,
        f"Keep {store} equal to {source}",
        "allie store mirror",
        "allie store mirror --remove",
        words,
        _UNIT.format(store=systemd.plain(store)),
        "SuccessExitStatus=75\n",
    )


def install(source: str, store: str, bandwidth: str, every: str) -> list[str]:
    """Write the units and start the timer; the files that were written, or differed."""
    return systemd.install(chore(source, os.path.realpath(store), bandwidth), every)


def remove() -> list[str]:
    """Stop the timer, and remove the units; the files that were removed. Done twice, nothing."""
    return systemd.uninstall(NAME)
