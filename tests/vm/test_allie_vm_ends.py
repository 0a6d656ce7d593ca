"""`allie vm` is ended before its machine is: no process, file or mount of it stays.

QEMU, or the mkfs that copies the system for it, is a stand-in that waits for ever.
"""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import leftovers
from tests.vm import test_allie_vm
from tests.worlds import aside, qemu
from tests.worlds.loop import looped

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.vm]

# It notes its own number, and that of `allie vm`
_WAITS = """\
#!/bin/sh
echo "$$ $PPID" >"$0.new"
mv "$0.new" "$0.pids"
exec sleep 1000
"""
_ENDS = pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL]
)


def end(where: str, folder: Path, program: str, number: signal.Signals, *words: str) -> None:
    """Start it with a program that waits, and end it with this signal as soon as that runs."""
    folder.mkdir()
    (folder / program).write_text(_WAITS)
    (folder / program).chmod(0o755)
    path = f"{folder}:{aside.PATH}"
    before = leftovers.in_var_tmp()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(test_allie_vm.vm, where, "--accel", "tcg", *words, path=path)
        waits, ours = _pids(folder / f"{program}.pids")
        os.kill(ours, number)
        done = running.result(60)
    assert done.returncode in (130, 128 + number), done.stdout
    assert "Traceback" not in done.stdout
    assert "left: " not in done.stdout
    deadline = time.monotonic() + 60
    while os.path.exists(f"/proc/{waits}"):
        assert time.monotonic() < deadline, "its child outlived it"
        time.sleep(0.05)
    assert leftovers.in_var_tmp() <= before
    assert "/allie/vm" not in Path("/proc/self/mountinfo").read_text()


def _pids(noted: Path) -> list[int]:
    deadline = time.monotonic() + 120
    while not noted.exists():
        assert time.monotonic() < deadline, "it was never started"
        time.sleep(0.05)
    return [int(word) for word in noted.read_text().split()]


def _small(top: Path) -> Path:
    """A system with a kernel."""
    boot = top / "small/boot"
    boot.mkdir(parents=True)
    (boot / "vmlinuz-6.1").write_bytes(b"kernel")
    (boot / "initrd.img-6.1").write_bytes(b"initrd")
    return top / "small"


@_ENDS
@pytest.mark.parametrize("program", ["mkfs.ext4", "qemu-system-x86_64"])
def test_of_a_directory(tmp_path: Path, program: str, number: signal.Signals) -> None:
    end(str(_small(tmp_path)), tmp_path / "bin", program, number)


@_ENDS
@pytest.mark.parametrize("words", [(), ("--keep",)])
def test_of_a_partition_which_is_free_again(
    tmp_path: Path, number: signal.Signals, words: tuple[str, ...]
) -> None:
    image = qemu.image_of(_small(tmp_path), tmp_path / "image", size="8M", label="allievmtest")
    before = image.read_bytes()
    with looped(image) as device:
        end("LABEL=allievmtest", tmp_path / "bin", "qemu-system-x86_64", number, *words)
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL))
    assert image.read_bytes() == before
