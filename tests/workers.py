"""How the tests are divided among the workers of pytest-xdist (`make test` starts three).

A file is one piece of work: what its tests share is made once. Files that would disturb each other,
and have no lock for that (as tests.worlds.disk.alone), are one piece together, so that no two
workers have them at the same time. What takes longest is begun first, and what takes no time at all
is left for the end, where it fills the gaps.
"""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

# The longest first; what is not named comes after, unit tests last of all.
_FIRST = (
    "tests/vm/test_installed_systemd_boot.py",
    "tests/vm/test_installer.py",
    "tests/vm/test_installed_grub.py",
    "tests/vm/test_second_system.py",
    "tests/vm/",
    "tests/server/test_doors_booted.py",
    "tests/packaging/",
    "tests/setup/",
    "tests/crash/",
    "tests/fleet/",
    "tests/site/",
    "tests/use/",
    "tests/images/",
    "tests/server/",
)
_LAST = ("tests/unit/", "tests/test_structure.py")

# Pieces of several files, each by a word that says what they cannot share with another worker.
_TOGETHER = {
    "a file system called allievmtest": (
        "tests/vm/test_allie_vm.py",
        "tests/vm/test_allie_vm_ends.py",
    ),
    "whoever is inside a system, on the whole machine": ("tests/use/",),
    "who is at an ssh door, on the whole machine": (
        "tests/server/test_doors.py",
        "tests/server/test_enrol.py",
    ),
}


class Pieces(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out the pieces in the order of the collection."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        config.option.loadscopereorder = False  # which is by how many tests a piece has
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return piece(nodeid)


def piece(nodeid: str) -> str:
    """The piece of work that a test belongs to."""
    file = nodeid.partition("::")[0]
    return next((word for word, places in _TOGETHER.items() if file.startswith(places)), file)


def named() -> list[str]:
    """All places that are named here."""
    return [*_FIRST, *_LAST, *(place for places in _TOGETHER.values() for place in places)]


def rank(item: pytest.Item) -> int:
    """Where in the order a test begins."""
    for place, first in enumerate(_FIRST):
        if item.nodeid.startswith(first):
            return place
    return len(_FIRST) + item.nodeid.startswith(_LAST)
