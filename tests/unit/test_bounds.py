"""What a program that listens to a store may take; nothing of it is left. Real, tiny programs."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from allie.client.state.script_files import Script
from allie.client.tick.worker import Worker
from allie.machine.programs import pipes, process, process_groups
from allie.machine.programs.process import Finished
from allie.machine.programs.process_groups import AWAY, FULL, MUCH, Bounds
from allie.machine.roots.open_system import open_system
from tests.worlds.waiting import until

pytestmark = pytest.mark.real
PYTHON = [sys.executable, "-IS", "-c"]
PATIENCE = 20.0  # seconds; what is tested takes tenths
# Reads a few bytes twenty times a second, for ever: each read is progress, and yet it gets nowhere
TRICKLE = "import time\nfile = open('/dev/zero', 'rb', 0)\nwhile 1:\n file.read(3); time.sleep(.05)"
# The same at a rate that is some line's
STREAM = TRICKLE.replace("3", "4000").replace("while 1", "for _ in range(40)")


@pytest.fixture(autouse=True)
def _looked_at_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_groups, "LOOK", 0.02)
    monkeypatch.setattr(process_groups, "_GRACE", 0.2)


def lives(pid: int) -> bool:
    return bool(process_groups.start_of(pid))


def pids(path: Path, count: int) -> list[int]:
    until(lambda: path.exists() and len(path.read_text().split()) == count)
    return [int(each) for each in path.read_text().split()]


def bounded(code: str, bounds: Bounds) -> Finished:
    began = time.monotonic()
    done = process.run([*PYTHON, code], bounds=bounds)
    assert time.monotonic() - began < PATIENCE
    return done


def test_a_byte_now_and_then_is_no_progress() -> None:
    done = bounded(TRICKLE, Bounds(0.2))
    assert done.cut
    assert done.cut.kind == AWAY
    assert "too slowly" in done.cut.words


def test_a_slow_line_is_progress() -> None:
    done = bounded(STREAM, Bounds(0.3))
    assert (done.code, done.cut) == (0, None)


def test_a_fetch_has_an_end_however_fast_it_goes_on() -> None:
    endless = STREAM.replace("for _ in range(40)", "while 1")
    done = bounded(endless, Bounds(60, until=time.monotonic() + 0.3))
    assert done.cut
    assert done.cut.kind == AWAY


def test_an_endless_list_in_memory_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_groups, "_MEMORY", 60 << 20)
    done = bounded("import time; held = b'x' * (90 << 20); time.sleep(60)", Bounds(60))
    assert done.cut
    assert done.cut.kind == MUCH


@pytest.mark.parametrize(
    ("before", "after", "ends"),
    [
        ((900, 900), (21, 900), False),
        ((900, 900), (19, 900), True),  # of 1,000 blocks a fiftieth is 20
        ((900, 900), (900, 19), True),  # inodes, too
        ((10, 900), (6, 900), False),  # where there was little, half of that
        ((10, 900), (4, 900), True),
        ((900, 0), (900, 0), False),  # some file systems do not count inodes
    ],
)
def test_some_of_the_disk_stays_free(
    before: tuple[int, int],
    after: tuple[int, int],
    ends: bool,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    said = [before, after]

    def statvfs(_: str) -> os.statvfs_result:
        free, files = said.pop(0) if len(said) > 1 else said[0]
        return os.statvfs_result((4096, 4096, 1000, free, 0, 1000 * bool(files), files, 0, 0, 255))

    monkeypatch.setattr(os, "statvfs", statvfs)
    code = "import time; time.sleep(60)" if ends else "import time; time.sleep(.3)"
    done = bounded(code, Bounds(60, disk=str(tmp_path)))
    assert (done.cut.kind if done.cut else None) == (FULL if ends else None)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_words_without_end_are_ended_and_not_kept(
    stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipes, "_MOST_OUT", 1 << 20)
    monkeypatch.setattr(pipes, "_MOST_SAID", 1 << 20)
    code = f"import sys\nwhile 1: sys.{stream}.write('no such file\\n' * 99)"
    done = bounded(code, Bounds(60))
    assert done.cut
    assert done.cut.kind == MUCH
    assert len(done.out) + len(done.err) < 2 << 20


def test_of_much_that_is_complained_of_the_first_and_the_last_are_kept() -> None:
    code = "import sys; sys.stderr.write('first\\n' + 'x' * 9999999 + '\\nlast\\n')"
    done = process.run([*PYTHON, code])
    assert done.err.startswith(b"first\n")
    assert done.err.endswith(b"\nlast\n")
    assert len(done.err) < 1 << 18


def test_a_line_without_end_is_not_kept() -> None:
    longest = 0

    def take(lines: bytes) -> bool:
        nonlocal longest
        longest = max(longest, len(lines))
        return False

    follow = pipes.by_line(take)
    for _ in range(64):
        follow(b"x" * 65536)
    follow(b"end\nwhole\n")
    assert longest < 1 << 18


# --- nothing is left ---------------------------------------------------------------------------

# Leaves a child of its own, one in a group of its own, and goes on or ends
LEAVES = "sleep 300 & echo $! >>{note}; {apart} {then}"
APART = "set -m; sleep 300 & echo $! >>{note}; set +m;"


@pytest.mark.parametrize("only_reads", [False, True])
def test_what_a_transfer_leaves_behind_ends_with_it(tmp_path: Path, only_reads: bool) -> None:
    note = tmp_path / "pids"
    text = LEAVES.format(note=note, apart="", then="exec >/dev/null 2>&1; exit 0")
    quiet = f"exec </dev/null >/dev/null 2>&1; {text}"
    done = process.run(["/bin/sh", "-c", quiet], bounds=Bounds(60), only_reads=only_reads)
    assert (done.code, done.cut) == (0, None)
    until(lambda: not any(map(lives, pids(note, 1))))


def test_what_is_ended_is_ended_with_those_in_groups_of_their_own(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    text = LEAVES.format(note=note, apart=APART.format(note=note), then="wait")
    done = process.run(["/bin/sh", "-c", text], bounds=Bounds(0.3))
    assert done.cut
    assert not any(map(lives, pids(note, 2)))


def test_where_we_stop_listening_by_an_error_it_ends_too(tmp_path: Path) -> None:
    note = tmp_path / "pids"

    def fail(_: bytes) -> None:
        raise OSError("our own disk")

    text = LEAVES.format(note=note, apart="", then="echo x; wait")
    with pytest.raises(OSError, match="our own disk"):
        process.run(["/bin/sh", "-c", text], bounds=Bounds(60), on_output=fail)
    assert not any(map(lives, pids(note, 1)))


def test_a_program_in_the_background_is_left_where_nobody_else_speaks(tmp_path: Path) -> None:
    """What mounts by FUSE goes on serving."""
    note = tmp_path / "pids"
    text = f"exec >/dev/null 2>&1; sleep 300 & echo $! >{note}"
    assert process.run(["/bin/sh", "-c", text]).code == 0
    (pid,) = pids(note, 1)
    time.sleep(0.05)
    assert lives(pid)
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("only_reads", [False, True])
@pytest.mark.parametrize("forks", [0, 1])
def test_after_a_kill_9_of_ours_nothing_goes_on(
    tmp_path: Path, only_reads: bool, forks: int
) -> None:
    """forks: the part of a tick, a process of ours between the one killed and the program."""
    note = tmp_path / "pids"
    # It begins once it is told to: what only reads is tied to us a moment after it has started.
    text = "read go; " + LEAVES.format(note=note, apart="", then=f"echo $$ >>{note}; wait")

    def fetch() -> int:
        argv = ["/bin/sh", "-c", text]
        process.run(argv, stdin=b"go\n", bounds=Bounds(60), only_reads=only_reads)
        return 0

    null = os.open(os.devnull, os.O_RDWR)
    ours = os.fork()
    if not ours:
        try:
            if forks:
                worker = Worker({"00overlay": lambda _: fetch()})
                worker.begin(open_system("/"), Script("00overlay", b"", True), {}, ())
                process.wait(worker.pid)
            else:
                fetch()
        finally:
            os._exit(0)
    left = pids(note, 2)
    assert all(map(lives, left))
    os.kill(ours, signal.SIGKILL)
    os.waitpid(ours, 0)
    os.close(null)
    until(lambda: not any(map(lives, left)))
