"""Whoever is between a PC and its store: passes all on, but the answers in drops."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress


class Trickle:
    """A proxy in front of a daemon; `with` ends it.

    After the first `free` bytes of each answer it lets `rate` bytes through every `pause` seconds.
    """

    def __init__(self, port: int, *, free: int, rate: int = 1, pause: float = 0.2) -> None:
        self._to = port
        self._free, self._rate, self._pause = free, rate, pause
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"rsync://127.0.0.1:{self.port}"
        self.dripping = threading.Event()
        self._ended = threading.Event()
        self._open: list[socket.socket] = []
        self._start(self._accept)

    def __enter__(self) -> Trickle:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for each in (self._listener, *self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _start(self, work: object, *args: object) -> None:
        threading.Thread(target=work, args=args, daemon=True).start()  # type: ignore[arg-type]

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                server = socket.create_connection(("127.0.0.1", self._to))
                self._open += [client, server]
                self._start(self._up, client, server)
                self._start(self._down, client, server)

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                server.sendall(data)

    def _down(self, client: socket.socket, server: socket.socket) -> None:
        sent = 0
        with suppress(OSError):
            while data := server.recv(65536):
                while data and not self._ended.is_set():
                    size = max(self._rate, self._free - sent)
                    client.sendall(data[:size])
                    sent, data = sent + len(data[:size]), data[size:]
                    if sent >= self._free:
                        self.dripping.set()
                        time.sleep(self._pause)
            client.shutdown(socket.SHUT_RDWR)
