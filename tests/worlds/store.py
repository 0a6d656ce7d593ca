"""A store served by a real rsync daemon on a free loopback port.

with served(store) as server:
    pc.run("join", server.url)
    server.stop()      # the server is away
    server.start()     # and back, on the same port
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

SRC = Path(__file__).parents[2] / "src"
MODULES = ("overlays", "images", "releases", "inbox", "private")
START_SECONDS = 10.0

GLOBAL = """\
address = 127.0.0.1
port = {port}
use chroot = no
socket options = TCP_NODELAY
reverse lookup = no
max verbosity = 4
log file = {log}
"""

MODULE = """\

[{name}]
path = {path}
read only = yes
"""


_S = TypeVar("_S", bound="Served")


def is_greeted(
    host: str,
    port: int,
    greeting: bytes,
    *,
    runs: Callable[[], bool] = lambda: True,
    patience: float = START_SECONDS,
) -> bool:
    """Whether a server there begins so, before it ends or too much time passes."""
    until = time.monotonic() + patience
    while runs() and time.monotonic() < until:
        with suppress(OSError), socket.create_connection((host, port), timeout=2) as connection:
            if connection.recv(len(greeting)) == greeting:
                return runs()
        time.sleep(0.01)
    return False


class Served:
    """The daemon of one store; a context manager that ends it."""

    def __init__(self, store: Path, host: str = "127.0.0.1") -> None:
        self.store = store
        self.host = host
        self.port = 0  # chosen by the first start
        self._daemon: subprocess.Popen[bytes] | None = None
        self._work = tempfile.TemporaryDirectory(prefix="allie-rsyncd-")

    @property
    def url(self) -> str:
        """What a PC is told: `rsync://127.0.0.1:PORT`."""
        return f"rsync://{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        """The process id of the daemon; also the id of its process group."""
        if self._daemon is None:
            raise RuntimeError("the rsync daemon is stopped")
        return self._daemon.pid

    @property
    def log(self) -> str:
        """What the daemon has logged so far."""
        path = Path(self._work.name, "log")
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> None:
        """Serve, on the same port as before if there was one; returns once it answers."""
        if self._daemon is not None:
            return
        for _ in range(5):  # a port that was free a moment ago may be taken by now
            port = self.port or free_port()
            self._daemon = self._spawn(port)
            if self._answers(port):
                self.port = port
                return
            self.stop()
        raise RuntimeError(f"the rsync daemon does not answer: {self.log[-1000:]}")

    def stop(self) -> None:
        """End the daemon and its transfers at once, as when a server loses power.

        SIGTERM would be kinder, and take rsync 0.4 s.
        """
        daemon, self._daemon = self._daemon, None
        if daemon is not None:
            with suppress(ProcessLookupError):
                os.killpg(daemon.pid, signal.SIGKILL)
            daemon.wait()

    def _spawn(self, port: int) -> subprocess.Popen[bytes]:
        work = Path(self._work.name)
        text = GLOBAL.format(port=port, log=work / "log")
        if os.geteuid() == 0:
            text += "uid = 0\ngid = 0\n"  # an image has files that root alone can read
        for name in MODULES:
            text += MODULE.format(name=name, path=self.store / name)
        config = work / "rsyncd.conf"
        config.write_text(text)
        return subprocess.Popen(
            ["rsync", "--daemon", "--no-detach", f"--config={config}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # stop() ends it with the children of its transfers
        )

    def _answers(self, port: int) -> bool:
        """Our daemon greets, before it ends or too much time passes."""
        daemon = self._daemon
        return is_greeted(
            self.host, port, b"@RSYNCD:", runs=lambda: daemon is not None and daemon.poll() is None
        )

    def __enter__(self: _S) -> _S:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._work.cleanup()

    def __str__(self) -> str:
        return self.url


class ServedByAllie(Served):
    """The same by `allie store serve`, confined as it is; "" for host: on all addresses."""

    def _spawn(self, port: int) -> subprocess.Popen[bytes]:
        where = ["--store", str(self.store), "--port", str(port)]
        return subprocess.Popen(
            [sys.executable, "-m", "allie.cli.main", "store", "serve", *where, *self.address],
            cwd="/",
            env={**os.environ, "PYTHONPATH": str(SRC)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def address(self) -> list[str]:
        """Where it listens."""
        return ["--address", self.host]

    @property
    def daemon(self) -> int:
        """The process id of rsync."""
        (child,) = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return int(child)


def served(store: Path) -> Served:
    """Serve the store's top directories as modules, read only; use it with `with`."""
    return Served(store)


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
