"""The ledger is written only once each touched disk has taken the data.

docs/internals/rules.md, "The disk may have the name and not the content".
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.worlds.one_pc import World, injected, tmpfs

pytestmark = [pytest.mark.real, pytest.mark.root]

FAILING = """
import sys
if "allie.cli.main" in sys.argv or sys.orig_argv[1:3] == ["-m", "allie.cli.main"]:
    from allie.machine.files import atomic
    from allie.core.errors import StateError
    real = atomic.sync_descriptor
    left = [None] * {good}
    def fails(descriptor, path=""):
        if "/mirror" not in path and "/pristine" not in path:
            if not left:
                raise StateError("the disk did not take the data: injected")
            left.pop()
        real(descriptor, path)
    atomic.sync_descriptor = fails
"""


@pytest.mark.parametrize(("good", "stands"), [(0, "1\n"), (1, "2\n")])
def test_a_disk_that_did_not_take_the_data_means_no_ledger(
    tmp_path: Path, good: int, stands: str
) -> None:
    """It fails before the files have their names, or after."""
    world = World(tmp_path, {"etc/a": "1\n"})
    world.good()
    ledger = world.state("ledger").read_bytes()
    world.put({"etc/a": "2\n"})
    done = world.pc.run("00overlay", env=injected(tmp_path / "fault", FAILING.format(good=good)))
    assert done.rc == 2
    assert "did not take the data" in done.err
    assert world.state("ledger").read_bytes() == ledger
    assert world.state("intent-overlay").exists()
    assert world.read("etc/a") == stands
    world.good()
    assert world.read("etc/a") == "2\n"


ONE_DISK_FAILS = """
from allie.core.errors import StateError
from allie.machine.files import atomic
import os
real = atomic.sync_descriptor
calls = []
def fails(descriptor, path=""):
    if os.readlink(f"/proc/self/fd/{descriptor}").startswith(%r):
        calls.append(descriptor)
        if len(calls) > %d:
            raise StateError("the disk did not take the data: injected")
    real(descriptor, path)
atomic.sync_descriptor = fails
"""


@pytest.mark.parametrize("good", [0, 1])
def test_a_disk_that_did_not_take_the_data_is_its_paths_problem(tmp_path: Path, good: int) -> None:
    """Where it is not the state's: before the files have their names there, or after."""
    root = tmp_path / "pc"
    with tmpfs(root / "srv", "size=4m,mode=755"):
        world = World(tmp_path, {"etc/a": "1\n", "srv/b": "1\n"})
        world.good()
        world.put({"etc/a": "2\n", "srv/b": "2\n"})
        code = ONE_DISK_FAILS % (str(root / "srv"), good)
        done = world.pc.run("00overlay", env=injected(tmp_path / "fault", code))
        assert done.rc == 1
        assert "/srv/b" in done.out
        assert world.read("etc/a") == "2\n"
        world.good()
        assert world.read("srv/b") == "2\n"


def test_each_touched_disk_is_synced_before_the_ledger_is_renamed(tmp_path: Path) -> None:
    root = tmp_path / "pc"
    with tmpfs(root / "srv", "size=4m"):
        world = World(tmp_path, {"etc/a": "1\n", "srv/b": "1\n"})
        world.tick().ok()
        world.put({"etc/a": "2\n", "srv/b": "2\n"})
        trace = tmp_path / "trace"
        argv = ["strace", "-f", "-y", "-o", str(trace), "-e", "trace=syncfs,fsync,rename,renameat"]
        src = str(Path(__file__).parents[2] / "src")
        env = {**world.pc.env, "PYTHONPATH": src}
        subprocess.run(
            [*argv, *world.pc.argv("00overlay")], check=True, capture_output=True, env=env
        )
        calls = trace.read_text().splitlines()
        ledger = next(n for n, line in enumerate(calls) if '/ledger"' in line and "rename" in line)
        placed = [
            n
            for n, line in enumerate(calls)
            if "rename" in line and ("/stage-" in line or "/.allie-" in line)
        ]
        written = [line for line in calls[: placed[0]] if "syncfs(" in line]
        assert any(os.fspath(root / "srv") in line for line in written), "data before its name"
        synced = [line for line in calls[placed[-1] : ledger] if "syncfs(" in line]
        assert any(os.fspath(root / "srv") in line for line in synced)
        assert any(os.fspath(root / "var/lib/allie") in line for line in synced)  # /etc's disk, too
        after = calls[ledger + 1 :]
        assert any("fsync(" in line and "/var/lib/allie>" in line for line in after)
