"""One child does both parts of a tick, and no other script's work after a script has run."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from allie.client.state.script_files import Script
from allie.client.tick import script_process
from allie.client.tick.worker import Worker
from allie.core.system import System

PARTS = ("00overlay", "01overact")


def _say(_: System) -> int:
    os.write(1, f"{os.getpid()} {os.environ['ALLIE_TICK']} {os.getcwd()}\n".encode())
    return 75


def _hang(_: System) -> int:
    time.sleep(60)
    return 0


def _fall(_: System) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


@pytest.fixture
def base(tmp_path: Path) -> System:
    """A base system: in another one no child is kept."""
    top = str(tmp_path)
    return System("/", "toy", top, top, top, top, top, top)


def _children() -> set[str]:
    """Of this process, which may have a browser from other tests."""
    tasks = Path("/proc/self/task").glob("*/children")
    return {pid for task in tasks for pid in task.read_text().split()}


WORKS = {"00overlay": _say, "01overact": _say, "98systems": _say, "hang": _hang, "fall": _fall}


@pytest.fixture
def worker() -> Iterator[Worker]:
    before = _children()
    made = Worker(WORKS)
    yield made
    made.dismiss()
    assert _children() == before


def _do(here: System, worker: Worker, name: str, seconds: float = 30) -> tuple[int, str]:
    """(exit status, the log) of a stub's work."""
    env = {"ALLIE_TICK": "7"}
    done = script_process.run(here, Script(name, b"", True), env, seconds, worker=worker)
    return done.code, Path(here.logs, f"{name}.log").read_text()


def test_both_parts_are_done_by_one_child(base: System, worker: Worker) -> None:
    """And each has its own log and status, and sees what a program would."""
    (code, first), (_, second) = [_do(base, worker, name) for name in PARTS]
    assert code == 75
    assert first == second
    assert first.split()[0] != str(os.getpid())
    assert first.split()[1:] == ["7", "/"]


def test_what_ran_between_ends_it(base: System, worker: Worker) -> None:
    _, first = _do(base, worker, PARTS[0])
    worker.dismiss()
    assert _do(base, worker, PARTS[1])[1] != first


def test_no_other_stub_has_the_parts_child(base: System, worker: Worker) -> None:
    logs = [_do(base, worker, name)[1] for name in (*PARTS, "98systems", PARTS[0])]
    assert len(set(logs)) == 3


def test_one_that_died_meanwhile_is_followed_by_another(base: System, worker: Worker) -> None:
    _, first = _do(base, worker, PARTS[0])
    os.kill(worker.pid, signal.SIGKILL)
    time.sleep(0.1)
    assert _do(base, worker, PARTS[1])[1] != first


def test_one_that_was_ended_is_followed_by_another(base: System, worker: Worker) -> None:
    assert _do(base, worker, "hang", 0.1)[0] == -signal.SIGTERM
    assert _do(base, worker, PARTS[0])[0] == 75
    assert _do(base, worker, "fall")[0] == -signal.SIGKILL
    assert _do(base, worker, PARTS[1])[0] == 75
