"""What a report says of the facts that tags may ask for, beside host, classes and image."""

from __future__ import annotations

from typing import Any

from allie.core.value import Value
from allie.server.fleet.cleaning import Cleaner

_DISTROS = 8  # names of a distribution, and of those that it is like


class ToldFacts(Value):
    """The facts of the system that runs, as `core.facts` has them."""

    distro: tuple[str, ...] = ()
    version: str = ""
    arch: str = ""  # "": an ALLiE that tells none of these
    virt: str = ""  # "": nobody has asked yet


def read(clean: Cleaner, value: dict[str, Any]) -> ToldFacts:
    """What is said of them; all are empty where nothing is."""
    get = value.get
    distro = tuple(map(clean.name, clean.entries(get("distro"), _DISTROS)))
    return ToldFacts(
        distro, clean.name(get("version")), clean.name(get("arch")), clean.name(get("virt"))
    )
