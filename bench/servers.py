"""Servers of one store on loopback, for bench/serving.py: rsync daemons.

They run as `allie store serve` configures them, with one line more: a log, so that it can be
counted who was asked how often.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from allie.server import store_conf
from allie.server.doors import rsyncd_conf
from tests.worlds.haproxy import greets

PORT = 873


class Daemon:
    """One server: an rsync daemon on an address of its own."""

    def __init__(self, store: Path, address: str) -> None:
        self.store, self.address = store, address
        self.url = f"rsync://{address}"
        self.log = store.parent / f"{store.name}.log"
        self.conf = store.parent / f"{store.name}.conf"
        self._running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        rules, lock = store_conf.read(str(self.store)), f"{self.conf}.lock"
        text = rsyncd_conf.foreground(str(self.store), self.address, PORT, rules, lock)
        self.conf.write_text(f"log file = {self.log}\n{text}")
        argv = ["rsync", "--daemon", "--no-detach", f"--config={self.conf}"]
        null = subprocess.DEVNULL
        self._running = subprocess.Popen(
            argv, stdin=null, stdout=null, stderr=null, start_new_session=True
        )
        greets(self.address, PORT)

    def kill(self) -> None:
        """At once, with all its connections, as when a server loses its power."""
        running, self._running = self._running, None
        if running:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()

    @property
    def asked(self) -> int:
        """How many connections there were so far."""
        return self.log.read_text(errors="replace").count("connect from")
