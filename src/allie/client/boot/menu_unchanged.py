"""Tell by stat alone that the boot menu has nothing to follow, as at nearly every tick.

The note is in /run, so the first tick after a boot always looks (and confirms the boot). It speaks
of this system alone: on a PC with others each tick looks, since their kernels may have changed.
"""

from __future__ import annotations

import os

from allie.core.conf import system_roots
from allie.core.conf.settings import Settings
from allie.core.system import System
from allie.machine.files import atomic, tree

_DEVICE = system_roots.device(f"LABEL={system_roots.BOOT_LABEL}")


def concerns(here: System) -> bool:
    """Whether this system runs on a PC with a boot partition of ALLiE's; it costs one stat."""
    return here.is_base and os.path.exists(_DEVICE)


def holds(here: System, settings: Settings) -> bool:
    """Whether everything stands as it did when the menu was last found to be right."""
    return not settings.others and atomic.read(_path(here)) == _known(here, settings)


def write(here: System, settings: Settings) -> None:
    """Note that the menu is right."""
    os.makedirs(here.run, exist_ok=True)
    atomic.write(_path(here), _known(here, settings), 0o600, durable=False)


def follows(here: System) -> list[str]:
    """The paths that this follows from, beside the settings."""
    noted = [_path(here), here.at("etc/machine-id"), *_places(here)] if concerns(here) else []
    return [_DEVICE, *noted]


def _known(here: System, settings: Settings) -> str:
    return repr((settings.system, settings.root, *map(_seen, _places(here))))


def _places(here: System) -> list[str]:
    """Where machine.roots.kernels looks."""
    machine = (atomic.read(here.at("etc/machine-id")) or "").strip()
    return [
        here.at(path)
        for path in ("boot", f"boot/{machine}", "usr/lib/modules", "etc/kernel/cmdline")
    ]


def _seen(path: str) -> str:
    try:
        return tree.seen_of(os.stat(path))
    except OSError:
        return ""


def _path(here: System) -> str:
    return f"{here.run}/bootmenu"
