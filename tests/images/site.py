"""A store for the tests of images, the real command line on it, and a root that has everything."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from allie.server import store
from tests.worlds.busybox import busybox_root
from tests.worlds.pc import ENVIRONMENT, Result, ended
from tests.worlds.toy import Device, Dir, Fifo, File, Hard, Link, Tree

SRC = Path(__file__).parents[2] / "src"
HOLE = 4 << 20
# One of each thing that a root can hold, and that is easily lost on the way
RICH: Tree = {
    "srv/owned": File("of nobody here\n", 0o640, owner=(54321, 12345)),
    "srv/setuid": File("#!/bin/sh\n", 0o4755, owner=(0, 4)),
    "srv/one": "linked\n",
    "srv/two": Hard("srv/one"),
    "usr/share/three": Hard("srv/one"),
    "srv/sparse": File("begins\n", size=HOLE),
    "srv/null": Device(1, 3, stat.S_IFCHR | 0o666),
    "srv/disk": Device(8, 1, stat.S_IFBLK | 0o660),
    "srv/pipe": Fifo(0o600),
    "srv/link": Link("/nowhere/at all"),
    "srv/tagged": File("x", xattrs={"user.comment": b"kept", "trusted.secret": b"kept, too"}),
    "srv/sticky": Dir(0o3770, owner=(0, 50)),
    b"srv/not \xff utf-8": "odd\n",
    "srv/-new\nline": "odd\n",
    ".hidden": "at the top\n",
    # of an overlay these would be leavings
    "srv/app/.git/HEAD": "ref: refs/heads/main\n",
    "srv/app/CVS/Entries": "D\n",
    "etc/passwd~": "as it was\n",
    "srv/.old.swp": "an editor's\n",
    "srv/._icon": "a Mac's\n",
    "srv/old": File("from long ago\n", mtime=946684800.25),
}


def rich_root(top: Path, tree: Tree | None = None) -> Path:
    """A busybox root with one of each thing, an ACL and a capability among them."""
    root = busybox_root(top, {**RICH, **(tree or {})})
    (root / "srv/acl").write_text("with an ACL\n")
    (root / "srv/capable").write_text("with a capability\n")
    subprocess.run(["setfacl", "-m", "u:54321:r--", root / "srv/acl"], check=True)
    subprocess.run(["setfacl", "-d", "-m", "g:12345:rwx", root / "srv/sticky"], check=True)
    subprocess.run(["setcap", "cap_net_raw+ep", root / "srv/capable"], check=True)
    return root


class Thing(NamedTuple):
    """All that there is to know of one path."""

    mode: int
    owner: tuple[int, int]
    content: str
    mtime: int
    xattrs: Mapping[str, bytes]
    links: str  # the first of its hard links


def things(top: Path, *, whole_seconds: bool = False) -> dict[str, Thing]:
    """Every path of a tree, with all that can be lost on the way; directories' times aside."""
    found: dict[str, Thing] = {}
    firsts: dict[int, str] = {}
    for above, directories, files in os.walk(top):
        directories.sort()
        for name in sorted([*directories, *files]):
            path = os.path.join(above, name)
            st = os.lstat(path)
            short = os.path.relpath(path, top)
            is_dir = stat.S_ISDIR(st.st_mode)
            xattrs = {
                each: os.getxattr(path, each, follow_symlinks=False)
                for each in os.listxattr(path, follow_symlinks=False)
            }
            mtime = 0 if is_dir else st.st_mtime_ns
            found[short] = Thing(
                st.st_mode,
                (st.st_uid, st.st_gid),
                _content(path, st),
                mtime // 10**9 if whole_seconds else mtime,
                xattrs,
                short if is_dir else firsts.setdefault(st.st_ino, short),
            )
    return found


def _content(path: str, st: os.stat_result) -> str:
    if stat.S_ISREG(st.st_mode):
        with open(path, "rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()
        return f"{digest} {'sparse' if st.st_blocks * 512 < st.st_size // 2 else ''}"
    if stat.S_ISLNK(st.st_mode):
        return os.readlink(path)
    return str(st.st_rdev) if not stat.S_ISDIR(st.st_mode) else ""


class Store:
    """A store, and the command line on the server that has it."""

    def __init__(self, top: Path) -> None:
        self.top = top
        store.init(str(top))

    def argv(self, *args: str | Path) -> list[str]:
        """A command line of the server."""
        return [sys.executable, "-m", "allie.cli.main", *map(str, args)]

    def run(self, *args: str | Path, env: Mapping[str, str] | None = None) -> Result:
        """`allie ARGS` on this store."""
        return ended(self.argv(*args), self.environment(env), timeout=110)

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """What the server's commands see."""
        own = {"ALLIE_STORE": str(self.top), "PYTHONPATH": str(SRC)}
        return {**ENVIRONMENT, **own, "TMPDIR": tempfile.gettempdir(), **(more or {})}

    def kill_when(
        self, ready: Callable[[], bool], *args: str | Path, env: Mapping[str, str] | None = None
    ) -> None:
        """Start `allie ARGS`, and end it by kill -9 once something can be seen."""
        running = subprocess.Popen(
            self.argv(*args),
            cwd="/",
            env=self.environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + 60
        while not ready():
            assert running.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < until
            time.sleep(0.002)
        running.send_signal(signal.SIGKILL)
        running.wait()

    def image(self, name: str) -> Path:
        """An image's directory."""
        return self.top / "images" / name

    def part(self, name: str) -> Path:
        """Where its next version is made."""
        return self.top / "images/.parts" / name

    def names(self) -> list[str]:
        """The images, as `image list` has them."""
        return [each["name"] for each in self.run("image", "list", "--json").ok().json]
