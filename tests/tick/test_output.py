"""Where output goes: its reader may leave, its disk be full, its other end be slow or closed."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.tick.site import Site, script
from tests.worlds.toy import Tree

pytestmark = [pytest.mark.root, pytest.mark.real]
TREE: Tree = {f"etc/many/{number:04d} {'x' * 60}": "x\n" for number in range(700)}
ON_PC = [["status"], ["status", "--json"], ["log"], ["plan"], ["why", "/etc/many"]]
ON_PC += [["system", "list"], ["boot"], ["log", "--json"], ["nonsense"]]
ON_SERVER = [["overlay", "list"], ["overlay", "lint"], ["image", "list"], ["store", "init"]]
ANYWHERE = [["help"], ["help", "run-conf"], ["--help"], ["--version"], ["status", "--help"]]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = Site(tmp_path_factory.mktemp("output"), TREE)
    site.join("--image", "img", "--overlays", "kit,common", "--no-timer")
    return site


def _argv(site: Site, words: Sequence[str]) -> list[str]:
    if words in ON_PC:
        return site.pc.argv(*words)
    own = ["--store", str(site.store)] * (words in ON_SERVER)
    return [sys.executable, "-m", "allie.cli.main", *words, *own]


def _ageless(text: bytes) -> bytes:
    return re.sub(rb"\d+ s\b", b"N s", text)


@pytest.mark.parametrize("words", [*ON_PC, *ON_SERVER, *ANYWHERE], ids=" ".join)
def test_no_traceback_whatever_becomes_of_what_is_printed(site: Site, words: list[str]) -> None:
    argv = _argv(site, words)
    usual = subprocess.run(argv, capture_output=True, timeout=60, check=False)
    read, gone = os.pipe()
    os.close(read)
    done = subprocess.run(argv, stdout=gone, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(gone)
    assert (done.returncode, done.stderr) == (usual.returncode, usual.stderr), "a reader who left"
    for closed in (">&-", "2>&-", ">&- 2>&-"):
        line = ["sh", "-c", f'exec "$@" {closed}', "sh", *argv]
        done = subprocess.run(line, capture_output=True, timeout=60, check=False)
        assert done.returncode == usual.returncode
        assert _ageless(done.stdout) in (b"", _ageless(usual.stdout))
        assert done.stderr in (b"", usual.stderr)
    with open("/dev/full", "w") as full:
        done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
        if usual.stdout:
            assert b"not all of the output could be written: No space left" in done.stderr
            assert len(done.stderr.splitlines()) == len(usual.stderr.splitlines()) + 1
            assert done.returncode in (usual.returncode or 2, 2)
        everything = subprocess.run(argv, stdout=full, stderr=full, timeout=60, check=False)
        assert everything.returncode == done.returncode


def test_a_slow_reader_who_made_the_pipe_wait_for_nobody(site: Site) -> None:
    """As programs do that read several at once: then writing fails where it would wait."""
    site.overlay({f"etc/more/{number:04d} {'y' * 60}": "y\n" for number in range(700)})
    argv = site.pc.argv("plan")
    usual = subprocess.run(argv, capture_output=True, timeout=60, check=True)
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(write, False)
    slow = subprocess.Popen(argv, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    got = b""
    with os.fdopen(read, "rb", buffering=0) as pipe:
        while piece := pipe.read(3000):
            got += piece
            time.sleep(0.001)
    assert slow.wait(60) == 0, slow.communicate()
    assert _ageless(got) == _ageless(usual.stdout)


def test_who_prints_to_nobody_does_its_work(tmp_path: Path) -> None:
    """A script's output is shown as it comes; that nobody reads it any more does not stop it."""
    site = Site(tmp_path, {"root/conf/50a": script("yes | head -n 99999; echo x >>/tmp/ran")})
    for argv in (
        site.pc.argv("join", str(site.store), "--image", "img", "--no-timer"),
        site.pc.argv("run-conf", "50a"),
    ):
        read, gone = os.pipe()
        os.close(read)
        done = subprocess.run(argv, stdout=gone, stderr=subprocess.PIPE, timeout=100, check=False)
        os.close(gone)
        assert (done.returncode, done.stderr) == (0, b"")
    assert site.pc.count("/tmp/ran") == 2


def test_a_line_is_out_once_it_was_said() -> None:
    """Who waits for it at the other end of a pipe has it while the command goes on."""
    line = "from allie.machine import console; console.say('the password'); input()"
    argv = [sys.executable, "-c", line]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as said:
        assert said.stdout and said.stdout.readline() == b"the password\n"
        said.communicate(b"\n", timeout=60)
