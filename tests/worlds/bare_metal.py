"""What it takes to install a PC from nothing: a store with a bootable image, and its installer."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from allie.server import store as allie_store
from allie.server.media import installer
from tests.worlds import qemu
from tests.worlds.store import Served
from tests.worlds.toy import File, Tree, make_tree

# Says on the second console that a tick has run; in the installer there is none
PROBE = """\
#!/bin/sh
# allie: every tick
[ -d /run/systemd/system ] || exit 75
echo "ticked as $(hostname): $(cat /etc/changed)" >/dev/ttyS1
"""
LAYOUT = """\
[layout]
esp = 40M
boot = 200M
system1 = 900M
swap = 32M
"""


# For a PC that is booted again and again: the tick at boot comes when the network is up
SOON: Tree = {
    "etc/systemd/system/allie-boot.timer.d/soon.conf": "[Timer]\nOnBootSec=\nOnBootSec=1s\n"
}


def stock(store: Path, images: Sequence[str], more: Tree) -> None:
    """Make a store with these bootable images and this overlay for all its PCs."""
    allie_store.init(str(store))
    (store / "images").mkdir(exist_ok=True)
    for name in images:
        qemu.bootable_root(store / "images" / name)
    overlay(store, more)


def overlay(store: Path, more: Tree) -> None:
    """Have its PCs say that they ticked, and have `more`, and nothing else of a store."""
    shutil.rmtree(store / "overlays/common")
    tree: Tree = {
        "etc/changed": "at first\n",
        "etc/hosts": f"127.0.0.1 localhost\n{qemu.HOST} store.test\n",
        "etc/kernel/cmdline": "console=ttyS0\n",
        "root/conf/99probe": File(PROBE, 0o755),
    }
    make_tree(store / "overlays/common", {**tree, **more})


def empty_disk(file: Path) -> list[str]:
    """QEMU's arguments for a new disk with nothing on it."""
    with file.open("wb") as new:
        new.truncate(3 << 29)
    return qemu.disk(file)


class Site:
    """A store with one bootable image, and the installer made of it."""

    def __init__(self, top: Path, more: Tree) -> None:
        self.store, self.out = top / "store", top / "installer"
        self.image = self.store / "images/deb"
        stock(self.store, ["deb"], more)

    def make(
        self, append: str = "", *, plan: str = LAYOUT, with_iso: bool = False
    ) -> installer.Made:
        where = (str(self.store), "deb", str(self.out))
        return installer.make(*where, append, plan=plan, with_iso=with_iso)

    def boot_installer(self, server: Served) -> list[str]:
        """QEMU's arguments that boot the pair, to install on vda by itself."""
        url = server.url.replace("127.0.0.1", qemu.HOST)
        words = f"console=ttyS0 panic=1 allie.store={url} allie.image=deb allie.host=pc5"
        words += " allie.disk=/dev/vda allie.yes allie.end=poweroff"
        argv = ["-kernel", str(self.out / "vmlinuz"), "-initrd", str(self.out / "initrd")]
        return [*argv, "-append", words]

    def install(self, server: Served, file: Path, folder: Path) -> str:
        """Boot the installer with a new disk, until it is installed; what it said."""
        more = [*self.boot_installer(server), *empty_disk(file)]
        with qemu.guest(folder, more) as guest:
            said = guest.wait_for("allie: installed; power off")
            guest.wait(30)
        return said
