"""Sites of three sizes, each made once; and one browser for all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from allie.core.value import Value
from allie.server.fleet.fleet import Fleet
from allie.server.site.write import write_with
from tests.worlds import chromium, fleets
from tests.worlds.chromium import Chromium
from tests.worlds.fleets import Generated


class Made(Value):
    """A site, and what is true of its fleet."""

    place: Path
    fleet: Fleet
    generated: list[Generated]

    def hosts(self, *kinds: str) -> set[str]:
        """Those that were made to stand so."""
        return {each.host for each in self.generated if each.kind in kinds}


def site_of(place: Path, count: int, age: float = 0.0) -> Made:
    """A site of so many PCs, made so many seconds ago."""
    now = time.time() - age
    generated = fleets.generated(count, now)
    fleet = fleets.judged(generated, now)
    write_with(fleet, str(place), fleets.counted(fleet))
    return Made(place, fleet, generated)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return site_of(tmp_path_factory.mktemp("small") / "site", 3)


@pytest.fixture(scope="session")
def middle(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return site_of(tmp_path_factory.mktemp("middle") / "site", 200)


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return site_of(tmp_path_factory.mktemp("large") / "site", 5000)


@pytest.fixture(scope="session")
def browser() -> Iterator[Chromium]:
    with chromium.started() as found:
        yield found
