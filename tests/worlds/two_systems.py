"""Two systems for one disk, `one` (a Debian) and `two` (of busybox), that come up in seconds."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from allie.core.conf.settings import Declared, Settings
from allie.core.system import System
from allie.machine.roots import open_system
from tests.worlds.busybox import busybox_root

# In place of init: a boot is a matter of seconds. It says how it came up, and waits for its end.
_PROBE = """\
#!/bin/sh
mount -t devtmpfs devtmpfs /dev
mount -t proc proc /proc
echo "{name} came up: $(cat /proc/cmdline)" >/dev/ttyS1
{more}
sleep 1000
"""


class Systems:
    """Their roots in a directory, `one` as the base, and how the menu calls them."""

    def __init__(self, top: Path, debian: Path) -> None:
        roots = top / "one", busybox_root(top / "two")
        subprocess.run(["cp", "-a", str(debian), str(roots[0])], check=True)
        for name in os.listdir(roots[0] / "boot"):
            shutil.copy2(roots[0] / "boot" / name, roots[1] / "boot" / name)
        for root in roots:
            _prepare(root)
        self.top = top
        self.base: System = open_system.open_system(str(roots[0]))
        other = Declared("two", "LABEL=two", "image", ("common",))
        self.settings = Settings("one", ("/srv",), ("common",), root="LABEL=one", others=(other,))
        release = next(debian.glob("boot/vmlinuz-*")).name.partition("-")[2]
        self.one, self.two = f"one/{release}", f"two/{release}"

    def at_boot(self, name: str, script: str) -> None:
        """Have one of them do this, too, when it came up; with a path it is run by."""
        path = "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        probe = _PROBE.format(name=name, more=f"{path}\n{script}")
        (self.top / name / "probe").write_text(probe)

    def onto(self, partitions: dict[str, str]) -> None:
        """Make a file system of each on its partition."""
        for name, device in partitions.items():
            make = ["mkfs.ext4", "-q", "-L", name, "-d", str(self.top / name), device]
            subprocess.run(make, check=True)


def _prepare(root: Path) -> None:
    """Make a root a system of ALLiE's that comes up by the probe alone."""
    for place in ("etc/allie", "etc/kernel"):
        (root / place).mkdir(exist_ok=True)
    (root / "etc/allie/system").write_text(f"{root.name}\n")
    (root / "etc/kernel/cmdline").write_text("console=ttyS0 init=/probe\n")
    (root / "probe").write_text(_PROBE.format(name=root.name, more=""))
    (root / "probe").chmod(0o755)
