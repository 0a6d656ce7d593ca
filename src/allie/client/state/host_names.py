"""By which names this PC knows itself, and the store may know it."""

from __future__ import annotations

import os

from allie.core import facts, hosts
from allie.core.system import System
from allie.machine.files import atomic
from allie.machine.roots import paths


def of(here: System, host: str) -> tuple[str, str]:
    """(short name, FQDN or ""); no name server is asked. host: what the settings say, or ""."""
    etc = paths.real_location(here.root, "etc")
    name = host
    if not (name or here.is_base):
        name = facts.parse_hostname(atomic.read(f"{etc}/hostname") or "")
    name = (name or os.uname().nodename).rstrip(".")  # of a full name to the very root of DNS
    short = name.partition(".")[0]
    full = name if "." in name else hosts.full_name(short, atomic.read(f"{etc}/hosts") or "")
    return short, full
