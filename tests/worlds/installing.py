"""`allie install` on a disk of this machine (tests.worlds.aside).

The store has the same name there and in a guest of QEMU's: store.test is loopback here, HOST there.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.worlds import aside, disk
from tests.worlds.loop import looped
from tests.worlds.store import Served

_HOSTS = 'echo "127.0.0.1 localhost store.test" > /etc/hosts'


def install(
    where: str, store: str, *words: str, image: str = "deb", path: str = aside.PATH
) -> subprocess.CompletedProcess[str]:
    """Install on a disk; its outputs in one."""
    line = ("install", "--disk", where, "--image", image, "--store", store, *words)
    # What kind of machine this is, is noted until its next boot
    return aside.allie(*line, before=_HOSTS, known="virt", path=path)


def install_onto(file: Path, server: Served, layout: str) -> str:
    """Install pc1 on a file that is to be its disk, by this layout; what was said."""
    plan = file.with_name("layout")
    plan.write_text(layout)
    with disk.alone(), looped(file) as device:
        words = ("--host", "pc1", "--layout", str(plan), "--yes")
        done = install(device, url_of(server), *words)
        subprocess.run(["partx", "-d", device], check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


def url_of(server: Served) -> str:
    """The address of a store that both an installation here and the PC in QEMU know."""
    return server.url.replace("127.0.0.1", "store.test")
