"""The stage: a directory with a store and three PCs, the daemon that serves it, and its end.

PCs are small real systems (busybox) in directories. They run the built client archive, each its
own copy, told by --root which system it is for.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from allie.core.system import ARCHIVE, CODE
from demo import terminal
from tests.worlds.busybox import busybox_root
from tests.worlds.store import Served
from tests.worlds.toy import Dir, Tree

PCS = ("pc07", "srv1", "lap3")
COMMON = "store/overlays/common"
MOTD = "Welcome to Busybox.\n"  # as the distributor ships it
_NOTED = Path("/run/allie/virt")  # what a client notes of this machine until its next boot


class Server(Served):
    """The store, served by `allie store serve` on a free loopback port."""

    def command(self, port: int) -> list[str]:
        """As it is typed, in the stage's directory."""
        where = ["--address", self.host, "--port", str(port)]
        return ["allie", "store", "serve", "--store", self.store.name, *where]

    def _spawn(self, port: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.command(port),
            cwd=self.store.parent,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # stop() ends it with the children of its transfers
        )


class Stage:
    """Where the tour takes place: runs commands, and looks at files."""

    def __init__(self, top: Path, server: Server) -> None:
        self.top = top
        self.server = server

    def sh(self, line: str, *, status: int = 0) -> str:
        """Show a command, run it, and show what it printed. Raises unless it ends as it should."""
        terminal.command(line)
        code, text = terminal.run(line, self.top, environment())
        terminal.output(text)
        if code != status:
            raise terminal.ClaimFailed(f"exit status {code}: {line}\n{text}")
        return text

    def allie(self, pc: str, words: str, *, status: int = 0) -> str:
        """One verb of the client on a PC."""
        return self.sh(f"{client(pc)} {words}", status=status)

    def tick(self, *pcs: str) -> None:
        """One tick on each of these PCs."""
        for pc in pcs:
            self.allie(pc, "run-conf")

    def file(self, path: str) -> Path:
        """A path on the stage, as `pc07/etc/motd`."""
        return self.top / path

    def text(self, path: str) -> str:
        """The content of a file; "" if there is none."""
        file = self.file(path)
        return file.read_text() if file.is_file() else ""

    def holds(self, path: str, wanted: str, claim: str) -> None:
        """Claim that a file has just this content."""
        found = self.text(path)
        terminal.claim(found == wanted, claim, found or "nothing")

    def status(self, pc: str) -> Any:
        """A PC's status as a value, without showing the command."""
        line = f"{client(pc)} status --json"
        return json.loads(terminal.run(line, self.top, environment())[1])

    def script(self, pc: str, name: str) -> str:
        """The state of one conf script."""
        scripts = self.status(pc)["scripts"]
        return next((each["state"] for each in scripts if each["name"] == name), "missing")


@contextmanager
def stage(keep: Path | None, parent: Path) -> Iterator[Stage]:
    """Set it up (in `keep`, or else below `parent` for as long as this lasts), and take it down."""
    top = keep or parent / "stage"
    top.mkdir(parents=True, exist_ok=True)
    with _cleared_code(top):
        server = Server(top / "store")
        try:
            for pc in PCS:
                make_pc(top / pc, pc)
            yield Stage(top, server)
        finally:
            server.__exit__(None, None, None)


def make_pc(root: Path, name: str) -> None:
    """A PC as it came from the distributor, but for its name."""
    stock = "# what the distributor ships\nALL: ALL\n"
    tree: Tree = {
        "etc/hostname": f"{name}\n",
        "etc/motd": MOTD,
        "etc/hosts.allow": stock,
        "etc/periodic/hourly": Dir(),
        "usr/local/bin": Dir(),
    }
    busybox_root(root, tree)


def client(pc: str) -> str:
    """A PC's client as it is called; by our own python where the archive's #! line finds none."""
    python = "" if os.access("/usr/bin/python3", os.X_OK) else "python3 "
    return f"{python}{pc}/{ARCHIVE} --root {pc}"


def environment() -> dict[str, str]:
    """What commands get: `allie` is this checkout's, nothing else is of ours."""
    here = os.path.dirname(sys.executable)
    path = f"{here}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": path, "HOME": "/root", "LANG": "C.UTF-8", "TERM": "dumb"}


@contextmanager
def _cleared_code(top: Path) -> Iterator[None]:
    """Take away what our client unpacks and notes on this machine, unless it was there before."""
    before = {path for path in (Path(CODE), _NOTED.parent, _NOTED) if path.exists()}
    codes = set(os.listdir(CODE)) if Path(CODE) in before else set()
    try:
        yield
    finally:
        archives = [top / "store/overlays/kit" / ARCHIVE, *(top / pc / ARCHIVE for pc in PCS)]
        ours = {hashlib.sha256(each.read_bytes()).hexdigest() for each in archives if each.exists()}
        for name in ours - codes:
            shutil.rmtree(Path(CODE, name), ignore_errors=True)
        if _NOTED not in before:
            _NOTED.unlink(missing_ok=True)
        for folder in (Path(CODE), _NOTED.parent):
            if folder not in before:
                with suppress(OSError):  # somebody else uses it by now
                    folder.rmdir()
