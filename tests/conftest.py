"""What holds for every test: no program from a unit test, no silent skip, nothing left behind."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import pytest
from hypothesis import HealthCheck, settings
from pytest import CollectReport, TestReport

from tests import leftovers, workers
from tests.worlds import machine

HERE = Path(__file__).parent
# Each of them starts a process; subprocess and the product's door to programs end in one of them.
STARTERS = ("fork", "forkpty", "posix_spawn", "posix_spawnp", "system", "popen")

# The same examples every time: a change is judged by itself, and not by luck. Others are tried by
# --hypothesis-profile=new. On a busy machine a single one may take long.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("new", patient)
settings.register_profile("same", patient, derandomize=True)
settings.load_profile("same")


def pytest_report_header() -> list[str]:
    """A test run begins with what the machine can do."""
    return machine.report()


# --- what would be paid for again and again ----------------------------------------------------

# Our modules are compiled once, for the tests and all that they start, whatever the machine prefers
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """What was collected stays until the end: nobody looks for rubbish in it, nor copies it.

    It is 9,000 tests, which the collector would go through with each large thing that a test made,
    and a forked child would get a copy of. That was a sixth of the CPU of all tests.
    """
    gc.collect()
    gc.freeze()


# --- which tests, in which order, by whom --------------------------------------------------------


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Those marked root need root; those marked vm_all, of a minute each, run with ALLIE_VM=all."""
    items.sort(key=workers.rank)
    if not machine.is_root():
        for item in items:
            if item.get_closest_marker("root"):
                item.add_marker(pytest.mark.skip(reason="needs root"))
    if os.environ.get("ALLIE_VM") == "all":
        return
    left_out = [item for item in items if item.get_closest_marker("vm_all")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("vm_all")]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> workers.Pieces:
    """With -n 2, files and groups of files go to the workers, the longest first."""
    return workers.Pieces(config, log)


# --- what a child inherits ----------------------------------------------------------------------


def pytest_sessionstart() -> None:
    """Under nohup, or behind `&` in a script, signals are ignored, and by every child, too.

    A handler is not inherited: a child can be interrupted, as one that somebody starts by hand.
    """
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


# --- no program from a unit test ---------------------------------------------------------------


@pytest.fixture(autouse=True)
def _no_programs(request: pytest.FixtureRequest) -> Iterator[None]:
    """In tests/unit, starting a process is an error, unless the test says that it does."""
    node = request.node
    marked = any(node.get_closest_marker(name) for name in ("real", "root"))
    if HERE / "unit" not in node.path.parents or marked or "fake_programs" in node.fixturenames:
        yield
        return

    def refuse(*args: object, **_more: object) -> NoReturn:
        pytest.fail(
            f"a unit test started a program: {args!r}; use fake_programs, or mark it real or root"
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", refuse)
        for name in STARTERS:
            patch.setattr(os, name, refuse)
        yield


class Call(NamedTuple):
    """One start of a fake program."""

    name: str
    args: list[str]


class FakePrograms:
    """A directory at the front of PATH, of programs that note how they were called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._log = folder.parent / "fake-programs.log"

    def add(self, name: str, out: str = "", rc: int = 0, err: str = "") -> Path:
        """A program that prints `out` and `err` and exits with `rc`, whatever it is told."""
        program = self.folder / name
        program.write_text(
            f"#!{sys.executable} -IS\n"
            "import json, sys\n"
            f"with open({str(self._log)!r}, 'a') as log:\n"
            f"    log.write(json.dumps([{name!r}, *sys.argv[1:]]) + '\\n')\n"
            f"sys.stdout.write({out!r})\n"
            f"sys.stderr.write({err!r})\n"
            f"sys.exit({rc!r})\n"
        )
        program.chmod(0o755)
        return program

    @property
    def calls(self) -> list[Call]:
        """The calls so far, in order."""
        if not self._log.exists():
            return []
        lines = [json.loads(line) for line in self._log.read_text().splitlines()]
        return [Call(name, args) for name, *args in lines]

    def calls_of(self, name: str) -> list[list[str]]:
        """The arguments of each call of one program."""
        return [call.args for call in self.calls if call.name == name]


@pytest.fixture
def fake_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakePrograms:
    """Stand-ins for real programs, found first in PATH."""
    folder = tmp_path / "fake-programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return FakePrograms(folder)


# --- no silent skip ----------------------------------------------------------------------------


def _may_skip() -> set[str]:
    lines = (HERE / "skips.txt").read_text().splitlines()
    return {name for line in lines if (name := line.partition("#")[0].strip())}


def _refuse_unlisted_skip(report: TestReport | CollectReport) -> None:
    expected_failure = hasattr(report, "wasxfail")
    name = report.nodeid.split("[")[0]
    listed = any(fnmatchcase(name, each) for each in _may_skip())
    if report.skipped and not expected_failure and not listed:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped, and not named in tests/skips.txt: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, TestReport, TestReport]:
    """A skipped test that is not on the list has failed."""
    report = yield
    _refuse_unlisted_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, CollectReport, CollectReport]:
    """The same for a whole module that skips itself."""
    report = yield
    _refuse_unlisted_skip(report)
    return report


# --- nothing left behind -----------------------------------------------------------------------


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """pytest's own, which must hold no mount when pytest removes it: that could be the host's /."""
    yield tmp_path
    left = leftovers.unmount_below(tmp_path)
    if left:
        pytest.fail(f"the test left mounts behind: {left}")


@pytest.fixture(scope="session", autouse=True)
def _nothing_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """All temporary files are below one directory, which nothing may still use at the end."""
    top = tmp_path_factory.getbasetemp()
    temporary = top / "temporary"
    temporary.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(temporary))
        patch.setattr(tempfile, "tempdir", str(temporary))
        yield
    left: list[Any] = [*leftovers.loops_below(top), *leftovers.processes_below(top)]
    left += leftovers.unmount_below(top)
    if left:
        pytest.fail("the tests left behind: " + "; ".join(map(str, left)))
