"""Whatever lies in one PC's inbox: all others are shown as without it, and no view is harmed."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
    inbox = store / "inbox" / host
    inbox.mkdir(parents=True, mode=0o700)
    (inbox / "report").write_text(json.dumps(report(host, time.time())))


def others(fleet: Fleet) -> list[Pc]:
    return [pc for pc in fleet.pcs if pc.host != EVIL]


@contextmanager
def beside(store: Path, deed: Deed) -> Iterator[None]:
    """What an attacker leaves in the inbox of his PC."""
    inbox = store / "inbox" / EVIL
    inbox.mkdir(mode=0o700)
    deed(inbox)
    yield
    if inbox.is_symlink() or inbox.is_file():
        inbox.unlink()
    else:
        inbox.chmod(0o700)
        shutil.rmtree(inbox)


@pytest.mark.parametrize("name", TABLE)
def test_the_others_stand_as_without_it(store: Path, name: str) -> None:
    deed, is_read = TABLE[name]
    now = time.time()
    before = fleets.load(str(store), now)
    with beside(store, deed):
        after = fleets.load(str(store), now)
    assert others(after) == others(before)
    (evil,) = (pc for pc in after.pcs if pc.host == EVIL)
    assert bool(evil.systems) == is_read, evil
    assert is_read or evil.state == "missing"
    assert is_read or evil.todo in (f"ssh {EVIL} allie status", f"ls -la {store}/inbox/{EVIL}")
    assert after.troubles == before.troubles == ()
    assert all(text.isprintable() for text in _texts(evil)), evil


def _texts(value: Any) -> Iterator[str]:
    """All texts of a value, line by line."""
    if isinstance(value, str):
        yield from value.split("\n")
    elif isinstance(value, dict):
        yield from _texts([*value, *value.values()])
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _texts(each)


def test_its_word_for_the_time_is_nobodys(store: Path) -> None:
    """A clock that is a century wrong is told, and changes nothing of how a PC stands."""
    for name, word in (("of-2099", "ahead"), ("of-1970", "behind")):
        with beside(store, TABLE[name][0]):
            (evil,) = (pc for pc in fleets.load(str(store), time.time()).pcs if pc.host == EVIL)
        assert evil.state == "current" and evil.told
        assert [note for note in evil.told.notes if word in note]
        assert abs(evil.heard - time.time()) < 600
