"""Random histories: store edits, local edits, facts, script results, kills, clock moves, ticks.

After each the root is as the model (tests/model/world.py, `ticked`) says, a second tick changes
nothing, and nothing that ALLiE did not place was touched. ALLIE_MODEL=N runs N new histories
instead of the same few; what one of them finds goes below, as a test of its own.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.crash import ptrace
from tests.model.world import NODES, OVERLAYS, PATHS, TAGS, History
from tests.worlds import machine
from tests.worlds.forked import work

DEEPER = os.environ.get("ALLIE_MODEL", "")
needs_ptrace = pytest.mark.skipif(
    not (machine.is_root() and ptrace.works()), reason="needs root and ptrace"
)
pytestmark = [pytest.mark.root, pytest.mark.real, needs_ptrace, pytest.mark.timeout(7200)]

Deed = tuple[Any, ...]  # a method of History, and its arguments
THEIRS = (*NODES, None, None, ("d", (("mine", ("f", "A", 0o644)),)))


@st.composite
def _deeds(draw: st.DrawFn) -> list[Deed]:
    """Few paths, overlays and tags in one history, or what is done would hardly ever meet."""

    def some(of: Iterable[Any], most: int) -> st.SearchStrategy[Any]:
        few = draw(st.lists(st.sampled_from(list(of)), min_size=1, max_size=most, unique=True))
        return st.sampled_from(few)

    path, overlay, tag = some(PATHS, 2), some(OVERLAYS, 2), some(TAGS, 3)
    host = st.sampled_from(["pc1", "pc1", "pc2"])
    put = st.tuples(st.just("put"), overlay, path, tag, st.booleans(), st.sampled_from(NODES))
    edit = st.tuples(st.just("edit"), path, st.sampled_from(THEIRS))
    withdraw = st.tuples(st.just("withdraw"), overlay, st.integers(0, 2))
    victim = st.sampled_from(["all", "all", "caller"])
    kill = st.tuples(st.just("kill"), st.integers(1, 400), victim)
    tick = st.tuples(st.just("tick"))
    rare = st.one_of(
        st.tuples(st.just("wipe"), st.sampled_from(["etc/sub", "etc/sub/deep"])),
        st.tuples(st.just("facts"), host, host),
        st.tuples(st.just("result"), st.sampled_from([0, 0, 1, 75])),
        st.tuples(st.just("clock_moves"), st.sampled_from([7200, -7200])),
    )
    deed = st.one_of(put, put, edit, edit, withdraw, kill, tick, tick, rare)
    return draw(st.lists(deed, min_size=10, max_size=20))


def _play(*deeds: Deed) -> None:
    with tempfile.TemporaryDirectory() as top:
        _played(Path(top), deeds).settle()


def _played(top: Path, deeds: Iterable[Deed]) -> History:
    history = History(top)
    for name, *words in deeds:
        getattr(history, name)(*words)
    return history


@settings(
    max_examples=int(DEEPER or 40),
    derandomize=not DEEPER,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate, *([Phase.shrink] if DEEPER else [])],
    print_blob=False,
)
@given(_deeds())
def test_any_history(deeds: list[Deed]) -> None:
    _play(*deeds)


A, B, LINK, PATH = NODES[0], NODES[1], NODES[4], "etc/a"
TICK: Deed = ("tick",)


def _put(node: Any, tag: str = "", overlay: str = "one", path: str = PATH) -> Deed:
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
    ],
)
def test_these_histories(deeds: list[Deed]) -> None:
    _play(*deeds)


def test_a_directory_that_was_absent_comes_back_whole_or_not_at_all() -> None:
    path, theirs = "srv/x;y", ("d", (("mine", NODES[0]), ("more", NODES[2])))
    absent: list[Deed] = [
        ("edit", path, theirs),
        ("put", "one", path, "##absent", False, NODES[0]),
        ("tick",),
        ("withdraw", "one", 0),
    ]
    with tempfile.TemporaryDirectory() as top:
        history = _played(Path(top), absent)
        steps = ptrace.trace(work(history.root, "run-conf"), below=history.root).steps
    first = min(place for place, each in enumerate(steps) if "intent" in each)
    last = max(place for place, each in enumerate(steps) if "ledger" in each)
    for number in range(first, last, 2 if DEEPER else 7):
        _play(*absent, ("kill", number, "all"), ("tick",))
