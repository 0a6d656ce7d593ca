"""A room of PCs: one served store with an image or two, and PCs whose allie.conf comes from it.

Each PC is a busybox root with the real client archive; its other systems live below it.
"""

from __future__ import annotations

import os
import random
import re
import signal
import time
from pathlib import Path
from typing import Any

from allie.server import store
from tests.tick.site import TickPC
from tests.worlds.busybox import busybox_root
from tests.worlds.pc import Result
from tests.worlds.store import Served
from tests.worlds.toy import File, Tree, make_tree
from tests.worlds.waiting import until

FSTAB = "LABEL=root / ext4 defaults 0 1\nLABEL=home /home ext4 nodev 0 2\nLABEL=swap none swap sw\n"
PC: Tree = {
    "etc/fstab": FSTAB,
    "etc/timezone": "Europe/London\n",
    "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
    "etc/ssh/ssh_host_ed25519_key": File("this PC's key\n", 0o600),
}
IMAGE: Tree = {
    "etc/release": "one\n",
    "etc/fstab": "# the golden machine's\n",
    "etc/hostname": "golden\n",
    "etc/timezone": "UTC\n",
    "etc/ssh/ssh_host_ed25519_key": File("the golden machine's key\n", 0o600),
    "etc/ssh/ssh_host_rsa_key": File("another of its keys\n", 0o600),
    "etc/allie/system": "golden\n",
    "var/lib/allie/ledger": "the golden machine's\n",
    "root/done/50once": "done\n",
    "usr/bin/tool": File("#!/bin/sh\necho tool one\n", 0o755),
}


class Room:
    """The store and its server; use it with `with`."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.store = top / "store"
        store.init(str(self.store))
        self.server = Served(self.store)

    def __enter__(self) -> Room:
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()
        # What our ticks left at work in the background ends with the test.
        until(lambda: not self.workers(), "the workers end", push=self.kill_workers)
        self.server.__exit__(None, None, None)

    def image(self, name: str, tree: Tree | None = None) -> Path:
        """An image in the store, as `image import` leaves one.

        Its files have a time of its own: rsync takes the same size and second for the same file.
        """
        made = busybox_root(self.store / "images" / name, {**IMAGE, **(tree or {})})
        then = 1_500_000_000 + sum(name.encode())
        for path in made.rglob("*"):
            if path.is_file() and not path.is_symlink():
                os.utime(path, (then, then))
        return made

    def heavy_image(self, name: str, megabytes: int) -> Path:
        """An image that takes its time: a megabyte of noise in each of its files."""
        noise = random.Random(name)
        tree: Tree = {f"usr/share/{n:02}": noise.randbytes(1 << 20) for n in range(megabytes)}
        return self.image(name, tree)

    def overlay(self, tree: Tree, name: str = "common") -> None:
        """Files of an overlay."""
        make_tree(self.store / "overlays" / name, tree)

    def declare(self, *sections: str, allie: str = "") -> None:
        """Deliver the allie.conf of every PC: its own system, `pc`, and these."""
        lines = ["[allie]", f"store = {self.server.url}", allie]
        lines += ["[system pc]", "image = pc", "overlays = kit, common", *sections]
        path = self.store / "overlays/common/etc/allie/allie.conf"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n")
        # A time of its own: rsync takes the same size and second for the same file.
        later = time.time_ns() + random.randrange(10**9)
        os.utime(path, ns=(later, later))

    def pc(self, name: str, tree: Tree | None = None) -> TickPC:
        """A PC that has joined, without a tick of its own accord."""
        root = busybox_root(self.top / name, {**PC, "etc/hostname": f"{name}\n", **(tree or {})})
        found = TickPC(root)
        done = found.run("join", self.server.url, "--system", "pc", "--image", "pc", "--no-timer")
        assert done.rc in (0, 1), (done.out, done.err)
        return found

    def workers(self) -> list[int]:
        """The processes of ours that work in the background."""
        return processes_of(self.top)

    def kill_workers(self) -> None:
        """Pull their plugs."""
        kill(self.workers())

    @property
    def sent(self) -> int:
        """The bytes that the server has sent so far."""
        return sum(map(int, re.findall(r"sent (\d+) bytes", self.server.log)))


def section(name: str, place: str = "", image: str = "", overlays: str = "kit, common") -> str:
    """A [system NAME] of allie.conf."""
    root = place or f"/systems/{name}"
    return f"[system {name}]\nroot = {root}\nimage = {image or name}\noverlays = {overlays}\n"


def processes_of(top: Path) -> list[int]:
    """The clients that name a directory, this test run's own left out."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            argv = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        names = [os.fsdecode(each) for each in argv]
        if "--daemon" not in names and any(f"{each}/".startswith(f"{top}/") for each in names):
            found.append(int(folder.name))
    return found


def kill(pids: list[int]) -> None:
    """SIGKILL, whether they are still there or not."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def entry(pc: TickPC, name: str) -> dict[str, Any]:
    """A system as `system list --json` has it."""
    listed = pc.run("system", "list", "--json").ok().json
    found: dict[str, Any] = next(each for each in listed if each["name"] == name)
    return found


def arrives(pc: TickPC, name: str, image: str = "") -> dict[str, Any]:
    """Wait until a system is there (with an image)."""

    def there() -> dict[str, Any] | None:
        found = entry(pc, name)
        good = found["state"] == "there" and (not image or found["image"] == image)
        return found if good and "fetched" not in found["words"] else None

    found: dict[str, Any] = until(there, f"{name} is there on {pc.root.name}")
    return found


def some_came(pc: TickPC, name: str) -> None:
    """Wait until a megabyte of an image has come: by its note, for a verb would take its time."""
    until((pc.root / f"var/lib/allie/systems/{name}/progress").exists, "some of it came")


def settles(pc: TickPC, name: str, image: str = "") -> None:
    """Wait until a system is there (with an image), and nothing works in the background."""
    arrives(pc, name, image)
    until(lambda: not processes_of(pc.root), "the fetch or update has ended")


def in_system(pc: TickPC, name: str, *args: str) -> Result:
    """A verb with --system."""
    return pc.run("--system", name, *args)


def tree_of(top: Path) -> dict[str, str]:
    """What a tree holds: to see that nothing was touched."""
    found = {}
    for path in sorted(top.rglob("*")):
        st = path.lstat()
        what = os.readlink(path) if path.is_symlink() else f"{st.st_size} {st.st_mtime_ns}"
        found[str(path.relative_to(top))] = f"{st.st_ino} {st.st_mode:o} {what}"
    return found
