"""A store and a PC for the tests of ticks: the real client archive on a busybox root.

The archive runs in a mount namespace with a /var/lib and a /run of its own, so that neither its
unpacked code nor its notes land on the machine that runs the tests.
"""

from __future__ import annotations

import functools
import io
import os
import subprocess
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from allie.server import kit, store
from tests.worlds.busybox import busybox_root
from tests.worlds.debian import UnavailableError, debian_root
from tests.worlds.pc import PC, Result
from tests.worlds.toy import File, Tree, make_tree

_PRIVATE = 'mount --bind "$1" /var/lib && mount --bind "$2" /run && shift 2 && exec "$@"'
_SETTINGS = "[allie]\nstore = /nowhere\n[system toy]\nimage = toy\noverlays = kit\n"


@functools.cache
def _kit(top: str) -> Path:
    kit.write(f"{top}/kit")
    for name in ("lib", "run"):
        Path(top, name).mkdir()
    return Path(top)


def kit_folder() -> Path:
    """The kit as `store init` writes it, and the private /var/lib and /run, once a test run."""
    return _kit(tempfile.gettempdir() + "/tick-kit")


def archive() -> Path:
    """The client archive."""
    return kit_folder() / "kit/usr/local/bin/allie"


def script(*lines: str, head: str = "#!/bin/sh", mode: int = 0o755) -> File:
    """A conf script."""
    return File("\n".join([head, *lines, ""]), mode)


class TickPC(PC):
    """A PC whose client is the archive, started as the stub would, apart from this machine."""

    def __init__(self, root: Path, client: Path | None = None) -> None:
        super().__init__(root, archive=client or archive())

    def argv(self, *args: str | Path) -> list[str]:
        """The archive's command line, within its namespace."""
        own = [str(kit_folder() / name) for name in ("lib", "run")]
        inside = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _PRIVATE, "sh"]
        return [*inside, *own, str(self.archive), "--root", str(self.root), *map(str, args)]

    def tick(self, rc: int | None = 0) -> dict[str, Any]:
        """Run a tick; its scripts by name."""
        done = self.run("run-conf")
        assert rc is None or done.rc == rc, (done.rc, done.out, done.err)
        return self.scripts()

    def scripts(self) -> dict[str, Any]:
        """The scripts, as `status --json` shows them."""
        return {each["name"]: each for each in self.status()["scripts"]}

    def status(self) -> dict[str, Any]:
        """What `status --json` says; it must be JSON whatever the state is."""
        found: dict[str, Any] = self.run("status", "--json").json
        return found

    def put(self, tree: Tree) -> None:
        """Make files in the root."""
        make_tree(self.root, tree)

    def log(self, name: str) -> str:
        """The log of a script's last run."""
        return self.read(f"/var/log/allie/{name}.log")

    def count(self, name: str) -> int:
        """How many lines a script has written to a file of the root; 0 without it."""
        path = self.path(name)
        return len(path.read_text().splitlines()) if path.exists() else 0


def lone_pc(top: Path, tree: Tree | None = None) -> TickPC:
    """A PC that has settings and no kit: only its own scripts run, quickly.

    Its 00overlay is in test mode: without one a tick would fetch the kit itself.
    """
    own: Tree = {
        "etc/allie/system": "toy\n",
        "etc/allie/allie.conf": _SETTINGS,
        "root/conf/00overlay": script("true", mode=0o644),
    }
    root = busybox_root(top, {**own, "etc/hostname": "pc07\n", **(tree or {})})
    return TickPC(root)


class Site:
    """A store in a directory, which a PC reaches by its path, and a PC that has joined it."""

    def __init__(self, top: Path, tree: Tree | None = None, root: Path | None = None) -> None:
        self.store = top / "store"
        self.clock = 1_500_000_000
        store.init(str(self.store))
        self.overlay(tree or {})
        self.pc = TickPC(root or busybox_root(top / "pc", {"etc/hostname": "pc07\n"}))

    def overlay(self, tree: Tree, name: str = "common") -> None:
        """Make files in an overlay, each with a time of its own.

        rsync takes a file of the same size and the same second for the same file.
        """
        make_tree(self.store / "overlays" / name, tree)
        for path in map(os.fsdecode, tree):
            self.clock += 1
            times = (self.clock, self.clock)
            os.utime(self.store / "overlays" / name / path, times, follow_symlinks=False)

    def join(self, *options: str, rc: int | None = 0) -> Result:
        """Join the store."""
        done = self.pc.run("join", str(self.store), *options)
        assert rc is None or done.rc == rc, (done.rc, done.out, done.err)
        return done


def run_in(root: Path, command: str, timeout: float = 60) -> Result:
    """Run a shell command chrooted in a root, as its own base system, with /proc /dev and /run."""
    setup = (
        'mount --bind "$0" "$0" && for d in proc dev run; do mkdir -p "$0/$d"; done;'
        ' mount -t proc proc "$0/proc" &&'
        ' mount --rbind /dev "$0/dev" && mount -t tmpfs tmpfs "$0/run" &&'
        ' hostname pc07 && exec chroot "$0" /bin/sh -c "$1"'
    )
    apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--uts"]
    done = subprocess.run(
        [*apart, "--propagation", "private", "sh", "-c", setup, str(root), command],
        env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        timeout=timeout,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def altered(member: str, old: str, new: str) -> bytes:
    """The client archive with one member changed: a newer client, or a broken one."""
    whole = archive().read_bytes()
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as before, zipfile.ZipFile(packed, "w") as after:
        for name in before.namelist():
            text = before.read(name)
            if name == member:
                assert old.encode() in text, (member, old)
                text = text.replace(old.encode(), new.encode())
            after.writestr(zipfile.ZipInfo(name), text)
    return whole[: whole.index(b"PK\3\4")] + packed.getvalue()


def debian(suite: str, dest: Path) -> Path:
    """A Debian root that ALLiE can run in as its own base: Python and rsync, no systemd."""
    try:
        return debian_root(suite, dest, ("python3", "rsync"))
    except UnavailableError as error:
        pytest.skip(str(error))
