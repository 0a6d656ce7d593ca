"""Random histories: what is done in the store, on the PC and to ALLiE, kills, clock moves, ticks.

After each the root is as the model (tests/model/model.py, `ticked`) says, a second tick changes
nothing, and nothing that ALLiE did not place was touched. `make test` plays the same histories
every time, as many of them as a minute allows: a change is judged by itself, not by luck.
`make deep` plays thousands of new ones, ALLIE_MODEL_SEED=N those of one number again. What one of
them finds goes below, as a test of its own.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest

from tests.crash import ptrace
from tests.model import play
from tests.model.history import History
from tests.model.model import NODES, Node
from tests.model.play import THEIRS, Deed
from tests.worlds import machine
from tests.worlds.forked import work

SECONDS = float(os.environ.get("ALLIE_MODEL", "60"))
SEED = os.environ.get("ALLIE_MODEL_SEED", "")
needs_ptrace = pytest.mark.skipif(
    not (machine.is_root() and ptrace.works()), reason="needs root and ptrace"
)
pytestmark = [pytest.mark.root, pytest.mark.real, needs_ptrace, pytest.mark.timeout(7200)]


def test_histories() -> None:
    first = int(SEED or 1)
    until = time.monotonic() + SECONDS
    number = first
    while number == first or (not SEED and time.monotonic() < until):
        failed = play.batch(number, until if not SEED else 0)
        assert not failed, f"ALLIE_MODEL_SEED={number}: {failed}"
        number += 1


def _play(*deeds: Deed, kind: str = "disk") -> None:
    failed = play.play(kind, deeds)
    assert not failed, failed


A, B, LINK, PATH = NODES[0], NODES[1], NODES[4], "etc/a"
TICK: Deed = ("tick",)


def _put(node: Node, tag: str = "", overlay: str = "one", path: str = PATH) -> Deed:
    return ("put", overlay, path, tag, False, node)


@pytest.mark.parametrize(
    "deeds",
    [
        [_put(A), TICK, ("edit", PATH, LINK), ("withdraw", "one", 0)],
        [_put(A), TICK, ("edit", PATH, None), ("withdraw", "one", 0)],
        [_put(A), TICK, ("edit", PATH, THEIRS[-1]), TICK, ("withdraw", "one", 0)],
        [_put(A, "##once"), TICK, ("edit", PATH, None), TICK, ("edit", PATH, B), TICK, _put(B)],
        [_put(A, "##absent"), TICK, ("edit", PATH, B), TICK, ("withdraw", "one", 0)],
        [_put(A, "##absent"), TICK, ("edit", PATH, B), ("withdraw", "one", 0)],
        [_put(A), _put(B, "##host.pc1", "two"), TICK, ("facts", "pc2", "pc1"), TICK],
        [_put(A), TICK, _put(B, "##host.pc1"), TICK, ("withdraw", "one", 1), TICK],
        [_put(A), _put(B, "##once"), TICK, ("edit", PATH, B), ("withdraw", "one", 0)],
        [
            _put(A),
            ("wipe", "etc/sub"),
            _put(A, path="etc/sub/deep/.dot"),
            TICK,
            ("kill", 90, "top"),
        ],
        # What becomes `once` is left as it is: no script that waits for it is due.
        [
            _put(B, path="etc/sub/b"),
            TICK,
            ("edit", "etc/sub/b", A),
            _put(A, "##once", path="etc/sub/b"),
            ("withdraw", "one", 0),
        ],
        # A half-written done-file was left where the kill had left no intent.
        [_put(A), TICK, ("clock_moves", -7200), ("kill", 74, "caller"), ("withdraw", "one", 0)],
        # What stood in a directory that is gone stays away, and what a package has stays.
        [
            ("edit", "etc/sub/b", B),
            _put(A, path="etc/sub/b"),
            TICK,
            ("wipe", "etc/sub"),
            ("withdraw", "one", 0),
        ],
        [
            _put(A, path="etc/sub/b"),
            TICK,
            ("package", "etc/sub/b", "A", True),
            ("withdraw", "one", 0),
        ],
        # Killed before anything came, and then the store is away.
        [_put(A), ("kill", 9, "caller"), ("misset",), TICK],
        # Before the first tick there is no state directory.
        [("pause",), TICK, ("resume",)],
    ],
)
def test_these_histories(deeds: list[Deed]) -> None:
    _play(*deeds)


@pytest.mark.parametrize("again", [False, True], ids=["first", "later"])
def test_a_tick_that_is_killed_while_a_generation_becomes_the_present_one(again: bool) -> None:
    before = [_put(A), TICK, _put(B)] if again else [_put(A)]
    with tempfile.TemporaryDirectory() as top:
        history = History(Path(top))
        for name, *words in before:
            getattr(history, name)(*words)
        steps = ptrace.trace(work(history.root, "run-conf"), below=history.root).steps
    at = [place for place, each in enumerate(steps, 1) if "current.part" in each]
    assert len(at) >= 2  # symlink, rename
    for number in at:
        _play(*before, ("kill", number, "all"), TICK)


def test_a_directory_that_was_absent_comes_back_whole_or_not_at_all() -> None:
    path, theirs = "srv/x;y", ("d", (("mine", NODES[0]), ("more", NODES[2])))
    absent: list[Deed] = [
        ("edit", path, theirs),
        ("put", "one", path, "##absent", False, NODES[0]),
        ("tick",),
        ("withdraw", "one", 0),
    ]
    with tempfile.TemporaryDirectory() as top:
        history = History(Path(top))
        for name, *words in absent:
            getattr(history, name)(*words)
        steps = ptrace.trace(work(history.root, "run-conf"), below=history.root).steps
    first = min(place for place, each in enumerate(steps) if "intent" in each)
    last = max(place for place, each in enumerate(steps) if "ledger" in each)
    for number in range(first, last, 2 if SECONDS > 60 else 7):
        _play(*absent, ("kill", number, "all"), ("tick",))
