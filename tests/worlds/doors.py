"""A store with both doors open on loopback ports, by `allie store serve --ssh`, and its hosts.

The accounts that the ssh door needs are in copies of passwd(5) and its like that this server alone
sees: the machine's own are never touched.

with Doors(store) as doors:
    doors.enrol("pc07")
    doors.rsync("pc07", "-r", "private/", here)      # as that host, at the ssh door
    doors.rsync("", "--list-only", "overlays/")      # as nobody, at the other
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from allie.server import store as stores
from allie.server import store_conf
from allie.server.places import ACCOUNT, INBOX_ACCOUNT, Places
from tests.worlds.ssh_door import make_key
from tests.worlds.store import SRC, ServedByAllie, free_port, is_greeted
from tests.worlds.toy import File, Tree, make_tree

ENV = {**os.environ, "PYTHONPATH": str(SRC)}
INBOX_UID = 64_321
LINE = 'restrict,command="exec env ALLIE_HOST={} rsync --server --daemon --config={} ." {} {}\n'
_BEHIND = """\
for name in passwd group shadow; do mount --bind "$1/$name" "/etc/$name" || exit 1; done
shift; exec "$@"
"""
_ACCOUNTS = {
    "passwd": (
        f"{ACCOUNT}:x:0:0::/:/bin/sh\n{INBOX_ACCOUNT}:x:{INBOX_UID}:{INBOX_UID}::/:/bin/false\n"
    ),
    "group": f"{INBOX_ACCOUNT}:x:{INBOX_UID}:\n",
    "shadow": f"{ACCOUNT}:*:19000::::::\n{INBOX_ACCOUNT}:*:19000::::::\n",
}


class Doors(ServedByAllie):
    """Both doors of one store; a context manager that shuts them."""

    def __init__(self, store: Path, work: Path) -> None:
        super().__init__(store)
        self.work = work
        self.ssh_port = free_port()
        stores.init(str(store))
        self.etc.mkdir(mode=0o700, exist_ok=True)
        work.mkdir(exist_ok=True)
        for key in (self.etc / "ssh_host_ed25519_key", work / "stranger"):
            make_key(key)
        for name, lines in _ACCOUNTS.items():
            (work / name).write_text(Path("/etc", name).read_text() + lines)

    @property
    def places(self) -> Places:
        """Where the store's files are."""
        return store_conf.places(str(self.store))

    @property
    def etc(self) -> Path:
        """Where its keys and configurations are."""
        return Path(self.places.etc)

    def enrol(self, host: str, name: str | None = None) -> Path:
        """Let a host in, with both its places; its key. name: what its line says instead."""
        key = self.work / f"key-{host}"
        public = make_key(key)
        for place, owner in ((self.places.private(host), 0), (self.places.inbox(host), INBOX_UID)):
            os.makedirs(place, 0o700, exist_ok=True)
            os.chown(place, owner, owner)
        with Path(self.places.enrolled).open("a") as lines:
            lines.write(LINE.format(host if name is None else name, self.places.own, public, host))
        return key

    def ssh_words(self, host: str, *options: str) -> list[str]:
        """The words of an ssh that comes to the door as this host."""
        key = self.work / (f"key-{host}" if host != "stranger" else host)
        words = ["ssh", "-F", "none", "-p", str(self.ssh_port), "-i", str(key)]
        for each in (
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            *options,
        ):
            words += ["-o", each]
        return words

    def ssh(self, host: str, *words: str) -> subprocess.CompletedProcess[str]:
        """An ssh that comes to the door as this host, with these words after its own."""
        return _ended([*self.ssh_words(host), f"{ACCOUNT}@127.0.0.1", *words])

    def rsync(
        self,
        host: str,
        *words: str | Path,
        through: list[str] | None = None,
        program: str = "rsync",
    ) -> subprocess.CompletedProcess[str]:
        """rsync as this host; a word that begins with a module's name, or :, is at the store.

        host "": at the rsync door.
        """
        modules = (*stores.MODULES, "private", "inbox", ":")
        at = f"{ACCOUNT}@127.0.0.1::" if host else f"{self.url}/"
        said = [
            f"{at}{str(each).lstrip(':')}" if str(each).startswith(modules) else str(each)
            for each in words
        ]
        ssh = ["-e", shlex.join(through or self.ssh_words(host))] if host else []
        return _ended([program, "--timeout=20", *ssh, *said])

    def allie(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command line on this server."""
        return subprocess.run(
            self._here(words), cwd="/", env=ENV, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    def _here(self, words: Sequence[str]) -> list[str]:
        """The words that run a command of ALLiE's with this server's accounts."""
        alone = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _BEHIND, "sh"]
        allie = [sys.executable, "-m", "allie.cli.main", "--store", str(self.store)]
        return [*alone, str(self.work), *allie, *words]

    def _spawn(self, port: int) -> subprocess.Popen[bytes]:
        where = ["--port", str(port), "--ssh-port", str(self.ssh_port), "--address", self.host]
        with (self.work / "serve.log").open("ab") as log:
            return subprocess.Popen(
                self._here(["store", "serve", "--ssh", *where]),
                cwd="/",
                env=ENV,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _answers(self, port: int) -> bool:
        return super()._answers(port) and is_greeted(self.host, self.ssh_port, b"SSH-")


@contextmanager
def with_two_hosts(top: Path) -> Iterator[Doors]:
    """Open doors with pc07 and pc08, a secret each, an image, and the server's own secret beside.

    Skips the test where there can be none.
    """
    if can_be_opened():
        pytest.skip(can_be_opened())
    doors = Doors(top / "store", top / "work")
    secrets: Tree = {f"{host}/secret": File(f"{host}'s\n", 0o600) for host in ("pc07", "pc08")}
    for host in ("pc07", "pc08"):
        doors.enrol(host)
    make_tree(doors.store / "private", secrets)
    make_tree(doors.store / "overlays/common", {"etc/motd": "hello\n"})
    make_tree(doors.store / "images/toy1", {"etc/shadow": File("root:x\n", 0o600)})
    make_tree(doors.work / "server", {"key": File("the server's\n", 0o600)})
    with doors:
        yield doors


def can_be_opened() -> str:
    """Why there can be no ssh door here; "" if there can."""
    missing = [each for each in ("sshd", "ssh", "ssh-keygen") if not shutil.which(each)]
    if os.geteuid() != 0:
        return "needs root"
    return f"needs {' '.join(missing)}" if missing else ""


def _ended(argv: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
        timeout=60, check=False,
    )  # fmt: skip
