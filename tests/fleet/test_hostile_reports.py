"""Whatever lies in one PC's inbox: all others are shown as without it, and no view is harmed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from allie.server import store as stores
from allie.server.fleet import fleet as fleets
from allie.server.fleet.fleet import Fleet, Pc
from tests.fleet.hostile import TABLE, Deed, report
from tests.worlds.machine import is_root

pytestmark = pytest.mark.skipif(not is_root(), reason="needs root")

GOOD = [f"pc{number:02}" for number in range(1, 6)]
EVIL = "pc99"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with some PCs that are well."""
    store = tmp_path_factory.mktemp("fleet") / "store"
    stores.init(str(store))
    for host in GOOD:
        put(store, host)
    return store


def put(store: Path, host: str) -> None:
    import json

    inbox = store / "inbox" / host
    inbox.mkdir(parents=True, mode=0o700)
    (inbox / "report").write_text(json.dumps(report(host, time.time())))


def others(fleet: Fleet) -> list[Pc]:
    return [pc for pc in fleet.pcs if pc.host != EVIL]


@pytest.mark.parametrize("name", TABLE)
def test_the_others_are_shown_as_without_it(store: Path, name: str) -> None:
    deed, kind = TABLE[name]
    now = time.time()
    before = fleets.load(str(store), now)
    inbox = store / "inbox" / EVIL
    inbox.mkdir(mode=0o700)
    deed(inbox)
    try:
        after = fleets.load(str(store), now)
    finally:
        import shutil

        shutil.rmtree(inbox) if inbox.is_dir() and not inbox.is_symlink() else inbox.unlink()
    assert others(after) == others(before)
    evil = [pc for pc in after.pcs if pc.host == EVIL]
    print(name, [(e.state, e.why, e.told and e.told.notes) for e in evil], after.troubles)
