"""The servers that the peers pull from, and what a pull costs them.

Two of them: an rsync daemon as anybody would write it, with default socket options, and the one
that `allie store serve` runs. Both serve the same directory on a free loopback port.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CONFIG = """\
use chroot = yes
uid = 0
gid = 0
read only = yes
[overlays]
path = {store}/overlays
[images]
path = {store}/images
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def plain_argv(store: Path, work: Path, port: int) -> list[str]:
    config = work / "rsyncd.conf"
    config.write_text(_CONFIG.format(store=store))
    where = ["--address=127.0.0.1", f"--port={port}", f"--config={config}"]
    return ["rsync", "--daemon", "--no-detach", *where]


def allie_argv(program: Path, store: Path, port: int) -> list[str]:
    where = ["--store", str(store), "--port", str(port), "--address", "127.0.0.1"]
    return [str(program), "store", "serve", *where]


@contextmanager
def serving(argv: list[str], port: int, log: Path) -> Iterator[int]:
    """Run a server in the foreground until the end of the block; its process id."""
    with log.open("wb") as output:
        server = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd="/"
        )
    try:
        _wait(server, port, log)
        yield server.pid
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"no server on port {port}: {log.read_text(errors='replace')[-500:]}")


def cpu(pid: int) -> float:
    """CPU milliseconds of a server so far: its processes and those that they have waited for."""
    ticks = 0
    family = {pid}
    for entry, parent, spent in _processes():
        if entry == pid or parent in family:
            family.add(entry)
            ticks += spent
    return ticks * 1000 / os.sysconf("SC_CLK_TCK")


def _processes() -> Iterator[list[int]]:
    """Process id, parent and clock ticks of every process, parents (lower ids) first."""
    found: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            found[int(entry.name)] = [int(entry.name), int(fields[1]), sum(map(int, fields[11:15]))]
    return iter([found[number] for number in sorted(found)])


def command_line(word: str) -> list[str]:
    """The arguments of an rsync that runs now and has such a word among them; none: empty."""
    for entry, _, _ in _processes():
        try:
            argv = Path(f"/proc/{entry}/cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if Path(argv[0]).name == "rsync" and any(word in each for each in argv):
            return argv[:-1]
    return []
