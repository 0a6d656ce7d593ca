"""A store's ssh door: a real sshd on a free loopback port, and rsync's daemon behind it.

Both are configured as `allie store setup` does it. It can be frozen, and set up anew at its port.

with SshDoor(store) as door:
    door.enrol("pc07", public_key)
    pc.run("join", server.url, "--own", door.url)

The accounts that it needs are in files of its own, mounted in a namespace that ends with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from allie.server.doors import enrolled, public_key, rsyncd_conf, sshd_conf
from allie.server.doors.enrolled import Enrolled
from allie.server.places import ACCOUNT, INBOX_ACCOUNT, Places
from allie.server.store_conf import StoreConf
from tests.worlds.store import free_port, is_greeted

_ACCOUNTS = {
    "passwd": f"{ACCOUNT}:*:0:0::/:/bin/sh\n{INBOX_ACCOUNT}:*:65534:65534::/:/bin/false\n",
    "group": f"{INBOX_ACCOUNT}:x:65534:\n",
}
_RULES = StoreConf("127.0.0.0/8")
_D = TypeVar("_D", bound="SshDoor")


class SshDoor:
    """The ssh door of one store; a context manager that ends it."""

    def __init__(self, store: Path, port: int = 0) -> None:
        self.store = store
        self.port = port
        self._work = tempfile.TemporaryDirectory(prefix="allie-door-")
        self.places = Places(str(store), self._work.name)
        self._sshd: subprocess.Popen[bytes] | None = None
        self.new_host_key()

    @property
    def url(self) -> str:
        """What a PC is told."""
        return f"ssh://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What sshd has logged so far."""
        return self._path("log").read_text(errors="replace")

    def new_host_key(self) -> None:
        """Make the server's key anew, as a server does that was set up anew."""
        for ending in ("", ".pub"):
            Path(f"{self.places.host_key}{ending}").unlink(missing_ok=True)
        make_key(Path(self.places.host_key))

    @property
    def host_key(self) -> str:
        """The public half."""
        return " ".join(Path(f"{self.places.host_key}.pub").read_text().split()[:2])

    def enrol(self, host: str, public: str, private: bool = True) -> None:
        """Let a key be known as a host's, and make its places."""
        line = enrolled.line_of(self.places, Enrolled(host, public_key.parse(public)))
        with Path(self.places.enrolled).open("a") as file:
            file.write(f"{line}\n")
        for place in ("private", "inbox") if private else ():
            (self.store / place / host).mkdir(0o700, parents=True, exist_ok=True)
            os.chown(self.store / place / host, *([65534, 65534] if place == "inbox" else [0, 0]))

    def retire(self, host: str) -> None:
        """Let its keys be known no more."""
        path = Path(self.places.enrolled)
        kept = [each for each in path.read_text().splitlines() if not each.endswith(f" {host}")]
        path.write_text("".join(f"{each}\n" for each in kept))

    def start(self) -> None:
        """Serve, on the same port as before if there was one; returns once it answers."""
        self.port = self.port or free_port()
        texts = {
            self.places.common: rsyncd_conf.common(self.places, _RULES),
            self.places.own: rsyncd_conf.own(self.places),
            self.places.sshd: sshd_conf.text(self.places, _RULES),
            **{str(self._path(n)): Path("/etc", n).read_text() + t for n, t in _ACCOUNTS.items()},
        }
        for path, text in texts.items():
            Path(path).write_text(text)
        behind = [f"mount --bind {self._path(name)} /etc/{name}" for name in _ACCOUNTS]
        behind += ["mount -t tmpfs none /run", "mkdir /run/sshd"]
        where = f"-p {self.port} -o ListenAddress=127.0.0.1"
        behind.append(f"exec /usr/sbin/sshd -D -e -f {self.places.sshd} {where}")
        with self._path("log").open("ab") as log:
            self._sshd = subprocess.Popen(
                ["unshare", "-m", "sh", "-c", " && ".join(behind)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if not is_greeted("127.0.0.1", self.port, b"SSH-"):
            raise RuntimeError(f"sshd does not answer: {self.log[-1000:]}")

    def stop(self) -> None:
        """End it at once."""
        sshd, self._sshd = self._sshd, None
        if sshd is not None:
            with suppress(ProcessLookupError):
                os.killpg(sshd.pid, signal.SIGKILL)
            sshd.wait()

    def freeze(self) -> None:
        """Have it stand still, as a machine whose disk hangs: calls are taken, and nothing said."""
        if self._sshd is not None:
            os.killpg(self._sshd.pid, signal.SIGSTOP)

    def _path(self, name: str) -> Path:
        return Path(self._work.name, name)

    def __enter__(self: _D) -> _D:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._work.cleanup()


def make_key(path: Path) -> str:
    """Make a key without a passphrase, if it is not there; its public half."""
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)]
    if not path.exists():
        subprocess.run(argv, check=True)
    return " ".join(Path(f"{path}.pub").read_text().split()[:2])
