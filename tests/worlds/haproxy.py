"""HAProxy on loopback before some servers, with what `allie store serve --print haproxy` prints.

What that leaves to the site is filled in: the servers' addresses, where it listens, a socket for
orders. Its checks are fifty times as frequent, so that no test waits for them.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from allie.server import store_conf
from allie.server.doors import haproxy
from allie.server.doors.units import Ports
from tests.worlds.store import is_greeted

CHECKS = "inter 200ms"


def there() -> bool:
    """Whether this machine has it."""
    return shutil.which("haproxy") is not None


class Proxy:
    """One HAProxy; a context manager that ends it. servers: (address, port) of each."""

    def __init__(
        self, work: Path, store: Path, address: str, port: int, servers: Sequence[tuple[str, int]]
    ) -> None:
        self.address, self.port = address, port
        self.url = f"rsync://{address}:{port}"
        # the path of a socket has at most 107 bytes, and HAProxy's first one a dozen more than ours
        self._short = tempfile.TemporaryDirectory(prefix="ha-")
        self._socket, self._conf = Path(self._short.name, "s"), work / "haproxy.cfg"
        rules, places = store_conf.read(str(store)), store_conf.places(str(store))
        text = haproxy.text(places, rules, Ports(rsync=port))
        self._conf.write_text(self._filled_in(text, servers))
        self._running: subprocess.Popen[bytes] | None = None

    def start(self, patience: float = 20) -> None:
        """Returns once it passes connections on."""
        null = subprocess.DEVNULL
        argv = ["haproxy", "-db", "-f", str(self._conf)]
        self._running = subprocess.Popen(argv, stdin=null, stdout=null, stderr=null)
        greets(self.address, self.port, patience)

    def stop(self) -> None:
        """End it."""
        running, self._running = self._running, None
        if running:
            running.terminate()
            running.wait()

    def __enter__(self) -> Proxy:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._short.cleanup()

    def set(self, number: int, state: str) -> None:
        """Say "drain" of a server, which then is given no more, or "ready"."""
        self._say(f"set server store/store{number} state {state}")

    def states(self) -> list[str]:
        """How it finds the servers: UP, DOWN, DRAIN …"""
        rows = [line.split(",") for line in self._say("show stat").splitlines()]
        return [row[17] for row in rows if row[0] == "store" and row[1].startswith("store")]

    def _say(self, words: str) -> str:
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self._socket))
            control.sendall(f"{words}\n".encode())
            return control.makefile().read()

    def _filled_in(self, text: str, servers: Sequence[tuple[str, int]]) -> str:
        """The printed text without the ssh door's half, and with what a site adds."""
        text = text.partition("# What is each host's own")[0]
        text = text.replace("global\n", f"global\n    stats socket {self._socket} level admin\n", 1)
        text, binds = re.subn(r"bind :::\d+ v4v6", f"bind {self.address}:{self.port}", text)
        (line, *_) = re.findall(r"    server store1 .*\n", text)
        lines = [
            re.sub(r"store1 \S+", f"store{number} {address}:{port}", line)
            for number, (address, port) in enumerate(servers)
        ]
        text, found = re.subn(r"(    server store\d+ .*\n)+", "".join(lines), text)
        assert (binds, found) == (1, 1), text
        assert "inter 10s" in text
        return text.replace("inter 10s", CHECKS)


def greets(address: str, port: int, patience: float = 20) -> None:
    """Wait until an rsync daemon greets. Raises RuntimeError where none does."""
    if not is_greeted(address, port, b"@RSYNCD:", patience=patience):
        raise RuntimeError(f"no server at {address}:{port}")
