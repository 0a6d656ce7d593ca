"""A store's ssh door: a real sshd on a free loopback port, and rsync's daemon behind it.

with SshDoor(store) as door:
    door.enrol("pc07", public_key)
    pc.run("join", server.url, "--own", door.url)

The account that it needs is in a passwd of its own, mounted in a namespace that ends with it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from tests.worlds.store import START_SECONDS, _free_port

_SSHD = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {work}/host_key
PidFile none
AuthorizedKeysFile {work}/authorized
StrictModes no
AllowUsers allie-store
PermitRootLogin forced-commands-only
AuthenticationMethods publickey
UsePAM no
PermitTTY no
DisableForwarding yes
UseDNS no
"""
_RSYNCD = """\
use chroot = yes
uid = 0
gid = 0
read only = yes
list = no
reverse lookup = no
refuse options = delete remove-source-files
[overlays]
path = {store}/overlays
[images]
path = {store}/images
[releases]
path = {store}/releases
[private]
path = {store}/private/%ALLIE_HOST%
[inbox]
path = {store}/inbox/%ALLIE_HOST%
uid = 65534
gid = 65534
read only = no
write only = yes
incoming chmod = F0600,D0700
filter = + /report - *
refuse options = * !times !timeout !log-format !whole-file !compress !verbose !omit-dir-times
"""
_D = TypeVar("_D", bound="SshDoor")


class SshDoor:
    """The ssh door of one store; a context manager that ends it."""

    def __init__(self, store: Path, port: int = 0) -> None:
        self.store = store
        self.port = port
        self._work = tempfile.TemporaryDirectory(prefix="allie-door-")
        self._sshd: subprocess.Popen[bytes] | None = None
        self.new_host_key()
        self._path("authorized").write_text("")

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
        for path in (self._path("host_key"), self._path("host_key.pub")):
            path.unlink(missing_ok=True)
        make_key(self._path("host_key"))

    @property
    def host_key(self) -> str:
        """The public half."""
        return " ".join(self._path("host_key.pub").read_text().split()[:2])

    def enrol(self, host: str, public: str, private: bool = True) -> None:
        """Let a key be known as a host's, and make its places."""
        config = self._path("rsyncd.conf")
        daemon = f"rsync --server --daemon --config={config} ."
        forced = f'restrict,command="exec env ALLIE_HOST={host} {daemon}"'
        with self._path("authorized").open("a") as file:
            file.write(f"{forced} {public} {host}\n")
        for place in ("private", "inbox") if private else ():
            (self.store / place / host).mkdir(0o700, parents=True, exist_ok=True)
            os.chown(self.store / place / host, *([65534, 65534] if place == "inbox" else [0, 0]))

    def retire(self, host: str) -> None:
        """Let its keys be known no more."""
        path = self._path("authorized")
        kept = [each for each in path.read_text().splitlines() if not each.endswith(f" {host}")]
        path.write_text("".join(f"{each}\n" for each in kept))

    def start(self) -> None:
        """Serve, on the same port as before if there was one; returns once it answers."""
        self.port = self.port or _free_port()
        self._path("sshd_config").write_text(_SSHD.format(port=self.port, work=self._work.name))
        self._path("rsyncd.conf").write_text(_RSYNCD.format(store=self.store))
        accounts = Path("/etc/passwd").read_text() + "allie-store:*:0:0::/:/bin/sh\n"
        self._path("passwd").write_text(accounts)
        mount = f"mount --bind {self._path('passwd')} /etc/passwd && mount -t tmpfs none /run"
        sshd = f"exec /usr/sbin/sshd -D -e -f {self._path('sshd_config')}"
        with self._path("log").open("ab") as log:
            self._sshd = subprocess.Popen(
                [
                    "unshare",
                    "-m",
                    "sh",
                    "-c",
                    f"{mount} && mkdir /run/sshd && {sshd}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 2) as one:
                if one.recv(4) == b"SSH-":
                    return
            time.sleep(0.02)
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self._work.cleanup()


def make_key(path: Path) -> str:
    """Make a key without a passphrase; its public half."""
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)]
    subprocess.run(argv, check=True)
    return " ".join(Path(f"{path}.pub").read_text().split()[:2])
