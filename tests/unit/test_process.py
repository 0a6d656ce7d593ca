"""The door to programs: what a child gets, and how it ends. Real, but tiny, programs."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from allie.core.errors import FAILED
from allie.machine.programs import process, process_groups
from allie.machine.programs.process import Finished, ProgramFailed
from allie.machine.programs.process_groups import Bounds, Cut
from tests.conftest import FakePrograms

SH = "/bin/sh"


def script(text: str) -> Finished:
    return process.run([SH, "-c", text])


@pytest.fixture
def streams(tmp_path: Path) -> Iterator[tuple[int, int, int]]:
    """Standard input, output and error for a forked child: a file."""
    descriptor = os.open(tmp_path / "out", os.O_RDWR | os.O_CREAT, 0o600)
    yield descriptor, descriptor, descriptor
    os.close(descriptor)


# --- words -------------------------------------------------------------------------------------


def test_a_command_can_be_pasted() -> None:
    assert Finished(("cp", "two words", "$x", ""), 0, b"", b"").command == "cp 'two words' '$x' ''"


@pytest.mark.parametrize(
    ("err", "words"),
    [
        (b"first\n  last \n\n", "last"),
        (b"odd \xff\n", "odd \ufffd"),
        (b"", "cp ended with 3"),
        (b" \n", "cp ended with 3"),
    ],
)
def test_the_last_words_of_a_program(err: bytes, words: str) -> None:
    assert Finished(("cp", "x"), 3, b"", err).last_words() == words


def test_a_failure_is_one_line_with_the_command() -> None:
    failed = ProgramFailed(Finished(("cp", "a b"), 3, b"", b"no such file\n"))
    assert str(failed) == "no such file (exit 3: cp 'a b')"
    assert failed.exit_code == FAILED


# --- the environment ---------------------------------------------------------------------------


def test_the_environment_is_built_and_not_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.setenv("LD_PRELOAD", "/evil.so")
    monkeypatch.setenv("RSYNC_RSH", "evil")
    monkeypatch.setenv("PATH", "/evil")
    monkeypatch.setenv("LC_ALL", "tr_TR.UTF-8")
    monkeypatch.setenv("RSYNC_PASSWORD", "secret")
    monkeypatch.setenv("TZ", "UTC")
    assert process.environment({"ALLIE_TICK": "7"}) == {
        "PATH": process.PATH,
        "LANG": "C.UTF-8",
        "HOME": "/root",
        "RSYNC_PASSWORD": "secret",
        "TZ": "UTC",
        "ALLIE_TICK": "7",
    }


def test_what_is_extra_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert process.environment()["HOME"] == "/home/ann"
    assert process.environment({"HOME": "/x", "PATH": "/y"})["PATH"] == "/y"


def test_a_program_is_found_in_our_path(
    fake_programs: FakePrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLIE_PATH", f"{fake_programs.folder}:{process.PATH}")
    fake_programs.add("rpm", out="hello\n", rc=3, err="oh\n")
    assert process.has_program("rpm")
    assert not process.has_program("no-such-program")
    done = process.run(["rpm", "-qf", "two words", "odd\udcff"])
    assert (done.code, done.out, done.err, done.cut) == (3, b"hello\n", b"oh\n", None)
    assert done.argv == ("rpm", "-qf", "two words", "odd\udcff")
    assert fake_programs.calls_of("rpm") == [["-qf", "two words", "odd\udcff"]]


# --- running -----------------------------------------------------------------------------------


@pytest.mark.real
def test_output_error_and_exit() -> None:
    done = script("echo out; echo err >&2; exit 7")
    assert (done.code, done.out, done.err) == (7, b"out\n", b"err\n")


@pytest.mark.real
def test_an_end_by_a_signal() -> None:
    assert script("kill -TERM $$").code == -signal.SIGTERM


@pytest.mark.real
def test_check_raises_where_a_program_fails() -> None:
    with pytest.raises(ProgramFailed, match="oh no") as caught:
        process.run([SH, "-c", "echo oh no >&2; exit 3"], check=True)
    assert caught.value.finished.code == 3
    assert process.run([SH, "-c", "exit 0"], check=True).code == 0


@pytest.mark.real
def test_standard_input_is_empty_unless_given() -> None:
    assert process.run(["/bin/cat"]).out == b""
    assert process.run(["/bin/cat"], stdin=b"a\0b").out == b"a\0b"


@pytest.mark.real
def test_much_input_and_much_output_do_not_lock_each_other() -> None:
    much = os.urandom(1 << 20)
    assert process.run(["/bin/cat"], stdin=much).out == much


@pytest.mark.real
def test_a_program_that_reads_nothing_does_not_hurt() -> None:
    assert process.run([SH, "-c", "exec 0<&-; exit 4"], stdin=b"x" * (1 << 20)).code == 4


@pytest.mark.real
def test_output_is_given_as_it_comes_and_not_kept() -> None:
    pieces: list[bytes] = []
    done = process.run([SH, "-c", "echo one; echo two"], on_output=pieces.append)
    assert b"".join(pieces) == b"one\ntwo\n"
    assert done.out == b""


@pytest.mark.real
def test_a_program_that_is_not_there_is_exit_127() -> None:
    for name in ("no-such-program", "/no/such/program"):
        done = process.run([name])
        assert (done.code, done.last_words()) == (
            127,
            f"{name}: not found",
        )


@pytest.mark.real
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"#!/bin/sh\r\necho hi\r\n", "its lines end as on Windows (CRLF), and there is no"),
        (b"#!/usr/bin/pythn\n", "its first line is #!/usr/bin/pythn, and that is not here"),
        (b"#! /no/such -x", "its first line is #!/no/such -x, and that is not here"),
    ],
)
def test_an_interpreter_that_is_not_there_is_shown(
    content: bytes, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "script"
    path.write_bytes(content)
    path.chmod(0o755)
    done = process.run([str(path)])
    assert done.code == 127
    assert done.last_words().startswith(f"{path}: {said}")


@pytest.mark.real
def test_a_file_that_cannot_be_executed_is_exit_126(tmp_path: Path) -> None:
    done = process.run([str(tmp_path)])
    assert done.code == 126
    assert "cannot be executed: Permission denied" in done.last_words()


@pytest.mark.real
def test_a_script_without_a_first_line_is_the_shells(tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.write_text('echo "$0 $1"\n')
    path.chmod(0o755)
    assert process.run([str(path), "x"]).out == f"{path} x\n".encode()


@pytest.mark.real
def test_a_child_leads_a_session_of_its_own_with_default_signals() -> None:
    text = "import os; print(os.getsid(0) == os.getpid())"
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        done = process.run([sys.executable, "-IS", "-c", text])
        assert done.out == b"True\n"
        assert script("kill -TERM $$; echo still here").code == -signal.SIGTERM
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.real
def test_only_kept_descriptors_are_inherited() -> None:
    kept, other = os.pipe()
    try:
        here = "test -e /proc/self/fd"
        text = f"{here}/{kept} && echo kept; {here}/{other} && echo other"
        assert process.run([SH, "-c", text], keep=[kept]).out == b"kept\n"
        assert script(text).out == b""
    finally:
        os.close(kept)
        os.close(other)


@pytest.mark.real
def test_no_descriptor_is_left_open() -> None:
    before = os.listdir("/proc/self/fd")
    script("cat")
    process.run(["no-such-program"], stdin=b"x")
    assert os.listdir("/proc/self/fd") == before


# --- the watchdog ------------------------------------------------------------------------------


@pytest.mark.real
def test_a_program_that_makes_no_progress_is_ended_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_groups, "LOOK", 0.02)
    began = time.monotonic()
    text = f"sleep 60 & echo $! >{tmp_path}/pid; wait"
    done = process.run([SH, "-c", text], bounds=Bounds(0.1))
    assert done.cut == Cut(process_groups.AWAY, "stopped sending")
    assert done.code == -signal.SIGTERM
    assert time.monotonic() - began < 10
    assert process_groups.start_of(int((tmp_path / "pid").read_text())) == ""


@pytest.mark.real
def test_a_program_that_reads_on_is_left_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_groups, "LOOK", 0.02)
    loop = "import time\nfor _ in range(8):\n open('/proc/self/stat').read(); time.sleep(0.05)\n"
    done = process.run([sys.executable, "-IS", "-c", loop], bounds=Bounds(0.25))
    assert (done.code, done.cut) == (0, None)


# --- forked work -------------------------------------------------------------------------------


@pytest.mark.real
def test_forked_works_exit_is_what_it_returns(streams: tuple[int, int, int]) -> None:
    assert process.wait(process.fork(lambda: 5, streams)) == 5


@pytest.mark.real
def test_an_error_that_gets_out_is_one_line_and_exit_2(
    streams: tuple[int, int, int], tmp_path: Path
) -> None:
    def work() -> int:
        raise RuntimeError("broken")

    assert process.wait(process.fork(work, streams)) == FAILED
    assert (tmp_path / "out").read_text() == "allie: broken\n"


@pytest.mark.real
def test_what_forked_work_prints_goes_to_its_streams(
    streams: tuple[int, int, int], tmp_path: Path
) -> None:
    def work() -> int:
        os.write(1, b"out\n")
        os.write(2, b"err\n")
        return 0

    assert process.wait(process.fork(work, streams)) == 0
    assert (tmp_path / "out").read_text() == "out\nerr\n"


@pytest.mark.real
def test_waiting_until_a_deadline(streams: tuple[int, int, int]) -> None:
    pid = process.fork(lambda: process.execute([SH, "-c", "sleep 60"], {}), streams)
    assert process.wait_until(pid, time.monotonic() + 0.02) is None
    process_groups.end(pid)
    assert process.wait_until(pid, time.monotonic() + 60) == -signal.SIGTERM


@pytest.mark.real
def test_a_child_that_leads_no_session_yet_is_ended_too(
    streams: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_groups, "_GRACE", 0.05)
    monkeypatch.setattr(os, "setsid", lambda: time.sleep(60))
    pid = process.fork(lambda: 0, streams)
    process_groups.end(pid)
    assert process.wait(pid) == -signal.SIGKILL


@pytest.mark.real
def test_what_ends_us_does_not_run_our_handler_in_a_child(
    streams: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our handler raises, which in a child so young would unwind into its parent's code."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    ours = signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    monkeypatch.setattr(os, "setsid", lambda: os.kill(os.getpid(), signal.SIGTERM))
    try:
        assert process.wait(process.fork(lambda: 0, streams)) == -signal.SIGTERM
    finally:
        signal.signal(signal.SIGTERM, ours)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


@pytest.mark.real
def test_a_group_that_does_not_heed_term_is_killed(
    streams: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_groups, "_GRACE", 0.05)
    pid = process.fork(
        lambda: process.execute([SH, "-c", "trap '' TERM; echo ready; sleep 60"], {}), streams
    )
    while not os.pread(streams[0], 9, 0):
        time.sleep(0.005)
    process_groups.end(pid)
    assert process.wait(pid) == -signal.SIGKILL


@pytest.mark.real
def test_ending_a_group_that_is_gone_is_nothing(streams: tuple[int, int, int]) -> None:
    pid = process.fork(lambda: 0, streams)
    process.wait(pid)
    process_groups.end(pid)


def test_a_process_is_known_by_its_start() -> None:
    assert process_groups.start_of(os.getpid()).isdigit()
    assert process_groups.start_of(2**22 + 1) == ""
