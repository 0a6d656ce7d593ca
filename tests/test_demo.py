"""The tour (`make demo`) runs whole, checks what it says, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from allie.core.system import CODE
from allie.server import kit
from demo import steps, tour
from tests import leftovers

TOP = Path(__file__).parents[1]
DEMO = TOP / "demo/demo"


@pytest.fixture
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is left: no directory, process, mount, nor code that the client unpacked.

    The place is the test's own: other things that live as long as pytest are in the usual one.
    """
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    unpacked = Path(CODE, sha256(kit.archive()).hexdigest())
    was_there = unpacked.exists()
    yield
    assert list(temporary.iterdir()) == []
    assert leftovers.processes_below(temporary) == []
    assert leftovers.mounts_below(temporary) == []
    assert was_there or not unpacked.exists()


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.usefixtures("_clean")
def test_the_whole_tour() -> None:
    """Each step raises where something is not as it says, so exit 0 says that all is so."""
    done = subprocess.run([DEMO], capture_output=True, encoding="utf-8", timeout=100)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    for number, (title, _) in enumerate(steps.STEPS, 1):
        assert f"── {number}/{len(steps.STEPS)}  {title} ─" in done.stdout
    assert done.stdout.count("  ✓ ") > 2 * len(steps.STEPS)
    assert "\x1b" not in done.stdout, "colours, but no terminal"


@pytest.mark.root
@pytest.mark.usefixtures("_clean")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(number: signal.Signals) -> None:
    """Ctrl-C in the middle of a join, with the store served."""
    with subprocess.Popen(
        [DEMO],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    ) as process:
        assert process.stdout
        for line in process.stdout:
            if " join rsync://127." in line:  # not what `store init` prints for a PC
                break
        process.send_signal(number)
        rest = process.stdout.read()
    assert process.returncode == 130, rest
    assert rest.endswith("demo: interrupted; everything is cleaned up\n")


@pytest.mark.root
def test_a_false_claim_fails(tmp_path: Path) -> None:
    """The tour ends where something is not as it says, and still leaves nothing behind."""
    done = _first_step("steps.ARCHIVE = 'missing'", tmp_path)
    assert done.returncode == 1
    assert "demo: it is not so: the store holds the client" in done.stderr
    assert leftovers.processes_below(tmp_path) == []


@pytest.mark.root
def test_keep(tmp_path: Path) -> None:
    """KEEP=DIR leaves store and PCs there, and says how to go on; the daemon is ended."""
    done = _first_step("", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {each.name for each in (tmp_path / "kept").iterdir()} == {
        "store",
        "pc07",
        "srv1",
        "lap3",
    }
    assert "allie store serve --store store --address 127.0.0.1 --port" in done.stdout
    assert "--root pc07 run-conf" in done.stdout
    assert leftovers.processes_below(tmp_path) == []


def test_keep_refuses_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing of anybody's is touched."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    (tmp_path / "mine").write_text("precious")
    assert tour.main(["--keep", str(tmp_path)]) == 2
    assert "name a new or an empty directory" in capsys.readouterr().err


def test_not_root(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever is not root is told why that is needed."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert tour.main([]) == 2
    assert "must be run as root: conf scripts run chrooted" in capsys.readouterr().err


def _first_step(before: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The tour's first step alone, kept in a directory."""
    code = (
        f"from demo import steps, tour; {before}\n"
        "steps.STEPS = steps.STEPS[:1]\n"
        f"raise SystemExit(tour.main(['--keep', {str(folder / 'kept')!r}]))"
    )
    return subprocess.run(
        [sys.executable, "-c", code], cwd=TOP, capture_output=True, encoding="utf-8", timeout=60
    )
