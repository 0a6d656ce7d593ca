"""The server dies in the middle of a fetch: what is applied is all old or all new, never a mixture.

At each of a sample of the client's steps while it fetches, the daemon and its transfers are killed.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.crash import ptrace, world
from tests.worlds import machine
from tests.worlds.forked import allie, work
from tests.worlds.store import served
from tests.worlds.toy import Dir, File, Tree, make_tree, toy_root

needs_ptrace = pytest.mark.skipif(
    not (machine.is_root() and ptrace.works()), reason="needs root and ptrace"
)
pytestmark = [pytest.mark.root, pytest.mark.real, needs_ptrace]
NAMES = [f"etc/many/f{number:02}" for number in range(30)]


def _overlays(what: str, mtime: float) -> Tree:
    tree: Tree = {f"common/{name}": File(f"{what}\n", mtime=mtime) for name in NAMES}
    # More than all the buffers on the way hold: the server cannot be done before we are.
    return {"kit": Dir(), **tree, "more/etc/large": File(os.urandom(24 << 20), mtime=mtime)}


def _pc(top: Path, url: str) -> Path:
    stub = File(world.STUB.read_bytes(), 0o755)
    ours: Tree = {
        "etc/allie/system": "one\n",
        "etc/allie/allie.conf": f"[allie]\nstore = {url}\n[system one]\noverlays = common more\n",
        "root/conf/00overlay": stub,
        "root/conf/01overact": stub,
    }
    return toy_root(top, ours)


def _standing(root: Path) -> set[str]:
    return {(root / name).read_text() for name in NAMES}


def test_the_server_dies_at_any_step_of_a_fetch(tmp_path: Path) -> None:
    store = make_tree(tmp_path / "store/overlays", _overlays("old", world.OLD)).parent
    with served(store) as server:
        before = _pc(tmp_path / "before", server.url)
        allie(before, "run-conf").ok()
        assert _standing(before) == {"old\n"}
        make_tree(store / "overlays", _overlays("new", world.NEW))
        counted = ptrace.trace(
            work(world.copy(before, tmp_path / "counted"), "run-conf"), below=tmp_path
        )
        steps = [place + 1 for place, each in enumerate(counted.steps) if "mirror/2.part" in each]
        for number in steps[1 :: len(steps) // 6]:
            trial = world.copy(before, tmp_path / f"trial-{number}")
            pid = server.pid

            def kill(pid: int = pid) -> None:
                os.killpg(pid, signal.SIGKILL)

            run = ptrace.trace(work(trial, "run-conf"), number, kill, below=tmp_path)
            assert run.code == 0, f"an unreachable store is no failure: {run.out}"
            assert _standing(trial) in ({"old\n"}, {"new\n"})
            assert (trial / "var/lib/allie/contact").read_text().count("trouble") == 1
            server.stop()
            allie(trial, "run-conf").ok()  # the store is still away
            assert _standing(trial) in ({"old\n"}, {"new\n"})
            server.start()
            allie(trial, "run-conf").ok()
            assert _standing(trial) == {"new\n"}
            mirror = trial / "var/lib/allie/mirror"
            left = [each.name for each in mirror.iterdir() if not each.name.isdigit()]
            assert left == ["current"], left
            allie(trial, "run-conf").ok()
