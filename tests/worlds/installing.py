"""`allie install` on a disk of this machine (tests.worlds.aside).

The store has the same name there and in a guest of QEMU's: store.test is loopback here, HOST there.
"""

from __future__ import annotations

import subprocess

from tests.worlds import aside

_HOSTS = 'echo "127.0.0.1 localhost store.test" > /etc/hosts'


def install(
    where: str, store: str, *words: str, image: str = "deb", path: str = aside.PATH
) -> subprocess.CompletedProcess[str]:
    """Install on a disk; its outputs in one."""
    line = ("install", "--disk", where, "--image", image, "--store", store, *words)
    # What kind of machine this is, is noted until its next boot
    return aside.allie(*line, before=_HOSTS, known="virt", path=path)
