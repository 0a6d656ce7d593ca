"""A program for each connection, as a systemd socket with Accept=yes starts it; what each took.

A server that waits for calls shares its CPU with those of before; here every connection is a
process of its own, and the kernel says what it and its children took.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Served:
    """One connection."""

    cpu: float  # ms, user and system, with children
    memory: float  # MB at its peak: PSS of all its processes
    wall: float  # ms


class Inetd:
    """Listens at an address, as a context manager; `served` has what each connection took."""

    def __init__(self, address: str, port: int, argv: Sequence[str]) -> None:
        self.served: list[Served] = []
        self._argv = list(argv)
        self._listener = socket.create_server((address, port), backlog=128)
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Inetd:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                began = time.perf_counter()
                descriptor = connection.fileno()
                run = subprocess.Popen(
                    self._argv, stdin=descriptor, stdout=descriptor, stderr=subprocess.DEVNULL
                )
            memory = 0.0
            while not (ended := os.wait4(run.pid, os.WNOHANG))[0]:
                memory = max(memory, sum(map(_pss, _family(run.pid))))
                time.sleep(0.001)
            usage = ended[2]
            run.returncode = os.waitstatus_to_exitcode(ended[1])
            wall = time.perf_counter() - began
            cpu = usage.ru_utime + usage.ru_stime
            self.served.append(Served(cpu * 1000, memory, wall * 1000))


def _family(pid: int) -> list[int]:
    """A process, and those below it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(each for child in children for each in _family(int(child)))]


def _pss(pid: int) -> float:
    """MB of a process, with its share of what others have, too."""
    try:
        found = re.search(r"^Pss: +(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0
