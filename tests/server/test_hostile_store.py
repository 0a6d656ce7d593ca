"""A store that says what no rsync would: without end, or for the terminal of whoever reads it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from allie.client.mirror import fetch, stores
from allie.machine.programs import pipes
from tests.worlds import forked
from tests.worlds.one_pc import World, snapshot

pytestmark = [pytest.mark.real, pytest.mark.root]
Talk = Callable[[socket.socket], None]
_GREETING = b"@RSYNCD: 31.0 sha512 sha256 sha1 md5 md4\n"
EVIL = "\x1b]0;pwned\x07\x1b[2J\x9b31m\r\x08\u202e"


class Hostile:
    """Listens where a store would, greets as one, and then talks as it likes."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"rsync://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Hostile:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller = self._listener.accept()[0]
                threading.Thread(target=self._serve, args=(caller,), daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        with suppress(OSError), caller:
            caller.sendall(_GREETING)
            caller.recv(1000)
            self._talk(caller)


def error(caller: socket.socket) -> None:
    caller.sendall(f"@ERROR: {EVIL}{'no such module ' * 60}\n".encode())


def welcome(caller: socket.socket) -> None:
    caller.sendall(f"{EVIL}\n".encode() * 3 + f"@ERROR: {EVIL}\n".encode())


def endless(piece: bytes) -> Talk:
    def talk(caller: socket.socket) -> None:
        until = time.monotonic() + 100
        while time.monotonic() < until:
            caller.sendall(piece * 1000)

    return talk


TALKS = {
    "an error": error,
    "a welcome": welcome,
    "lines": endless(b"welcome, welcome, welcome\n"),
    "one line": endless(b"welcome"),
    "nothing but ends of lines": endless(b"\n"),
    "control characters": endless(EVIL.encode() + b"\n"),
}


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize("talk", TALKS.values(), ids=TALKS)
def test_what_it_says_is_bounded_and_plain(
    tmp_path: Path, talk: Talk, joined: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipes, "_MOST_OUT", 1 << 18)  # rsync reads a welcome byte by byte
    monkeypatch.setattr(pipes, "_MOST_SAID", 1 << 18)
    # What rsync reads and passes on to nobody ends with the time that a fetch, or a question, has.
    monkeypatch.setattr(fetch, "_WHOLE", 1)
    monkeypatch.setattr(stores, "PATIENCE", 0.1)
    world = World(tmp_path, {"etc/motd": "one\n"})
    if joined:
        world.good()
    before = snapshot(world.root)
    with Hostile(talk) as store:
        world.follow(store=store.url, stall=2)
        before = {**before, "etc/allie/allie.conf": snapshot(world.root)["etc/allie/allie.conf"]}
        began = time.monotonic()
        said = world.tick().out
        assert time.monotonic() - began < 60
        joining = forked.allie(world.root, "join", store.url.replace("127.0.0.1", "localhost"))
        for words in (said, world.pc.run("status").out, joining.out):
            assert all(line.isprintable() for line in words.splitlines()), repr(words[:500])
            assert len(words) < 10_000
        assert "Traceback" not in said
    after = snapshot(world.root)
    assert {name: each.content for name, each in after.items()} == {
        name: each.content for name, each in before.items()
    }
    for note in ("contact", "report", "history"):
        path = world.state(note)
        text = path.read_bytes().decode(errors="replace") if path.is_file() else ""
        assert len(text) < 100_000
        assert not {"\x1b", "\x07", "\x9b"} & set(text)
