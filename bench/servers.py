"""Servers of one store on loopback, for bench/serving.py: rsync daemons, and HAProxy before them.

They run as `allie store serve` and `store setup` configure them, with one line more: a log, so that
who was asked how often can be counted.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from allie.server import serve, store_conf

PORT = 873
_HAPROXY = """\
global
    stats socket {socket} level admin
defaults
    mode tcp
    balance leastconn
    timeout connect 5s
    timeout queue 2m
    timeout client 3600s
    timeout server 3600s
    option redispatch
    retries 3
listen store
    bind {address}:873
{servers}
"""


class Daemon:
    """One server: an rsync daemon on an address of its own."""

    def __init__(self, store: Path, address: str) -> None:
        self.store, self.address = store, address
        self.url = f"rsync://{address}"
        self.log = store.parent / f"{store.name}.log"
        self.conf = store.parent / f"{store.name}.conf"
        self._running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        rules = store_conf.read(str(self.store))
        text = serve.configuration(str(self.store), self.address, PORT, rules, f"{self.conf}.lock")
        self.conf.write_text(f"log file = {self.log}\n{text}")
        argv = ["rsync", "--daemon", "--no-detach", f"--config={self.conf}"]
        null = subprocess.DEVNULL
        self._running = subprocess.Popen(
            argv, stdin=null, stdout=null, stderr=null, start_new_session=True
        )
        answers(self.address)

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


class Proxy:
    """HAProxy, which passes connections on to the servers; checked by connecting, every 200 ms."""

    def __init__(self, work: Path, address: str, servers: list[Daemon]) -> None:
        self.address, self.url = address, f"rsync://{address}"
        self._socket = work / "haproxy.sock"
        self._conf = work / "haproxy.cfg"
        check = "check inter 200ms fall 2 rise 2"
        lines = [
            f"    server s{number} {each.address}:{PORT} maxconn 100 {check}"
            for number, each in enumerate(servers)
        ]
        self._conf.write_text(
            _HAPROXY.format(socket=self._socket, address=address, servers="\n".join(lines))
        )
        self._running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        null = subprocess.DEVNULL
        argv = ["haproxy", "-db", "-f", str(self._conf)]
        self._running = subprocess.Popen(argv, stdin=null, stdout=null, stderr=null)
        answers(self.address)

    def stop(self) -> None:
        running, self._running = self._running, None
        if running:
            running.terminate()
            running.wait()

    def drain(self, number: int, state: str = "drain") -> None:
        """Give a server no more connections; state "ready": again."""
        self._say(f"set server store/s{number} state {state}")

    def _say(self, words: str) -> str:
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self._socket))
            control.sendall(f"{words}\n".encode())
            return control.makefile().read()


def answers(address: str) -> None:
    """Wait until a server greets. Raises RuntimeError where it does not."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            with socket.create_connection((address, PORT), 1) as connection:
                if connection.recv(8) == b"@RSYNCD:":
                    return
        except OSError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"no server at {address}")
