"""An installed PC that loses its power in a tick, and while its menu is rewritten.

What the guest had written to its disk is there afterwards, and what it still held in memory is not.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import time
from pathlib import Path

from allie.client.boot import boot_loader, menu_partition
from allie.machine.roots.volume import Volume
from tests.worlds import disk, qemu
from tests.worlds.bare_metal import SOON, overlay
from tests.worlds.loop import looped
from tests.worlds.store import Served
from tests.worlds.toy import File, Tree, make_tree

_FILES = 300
_ALL_SENT = r"sent [0-9]{7,} bytes"
# In place of a package manager: the kernel that is wanted, if any
_KERNEL = """\
#!/bin/sh
# allie: every tick
[ -d /run/systemd/system ] || exit 75
new=99.$(cat /etc/wanted)
[ $new != 99.0 ] || exit 0
if [ ! -e /boot/initrd.img-$new ]; then
    cp /boot/vmlinuz-[0-8]* /boot/vmlinuz-$new
    cp /boot/initrd.img-[0-8]* /boot/initrd.img-$new
    sync
fi
echo "kernel $new" >/dev/ttyS1
"""
_SAYS = """\
#!/bin/sh
# allie: every tick
[ -d /run/systemd/system ] || exit 75
cd /srv/many
{
    echo "files: $(cat $(ls | sort -n) | sha256sum)"
    echo "left: $(find /var/lib/allie -name 'intent-*') $(find / -xdev -name '.allie-*')"
    allie boot
    systemctl --failed --no-legend
} >/dev/ttyS1
sync
echo "end of this tick" >/dev/ttyS1
"""
# What it must have been installed with
MARKED: Tree = {
    **SOON,
    "etc/systemd/system/allie.service.d/mark.conf": (
        "[Service]\nExecStartPre=/bin/sh -c 'echo \"tick begins\" >/dev/ttyS1'\n"
    ),
}
_TREE: Tree = {
    **MARKED,
    "root/conf/97kernel": File(_KERNEL, 0o755),
    "root/conf/99says": File(_SAYS, 0o755),
}


class PC:
    """A PC that was installed with MARKED, and the store that it follows."""

    def __init__(self, top: Path, file: Path, server: Served, *, uefi: bool) -> None:
        """top: for its files. file: its disk. uefi: it boots by that, from a FAT partition."""
        self.top, self.file, self.server, self._uefi = top, file, server, uefi
        self._boots = 0

    def want(self, number: int, kernel: int) -> str:
        """Change the store: other files and another kernel; what the files' digest will be."""
        texts = [f"{number} {each}\n" * 2000 for each in range(_FILES)]
        tree: Tree = {f"srv/many/{each}": text for each, text in enumerate(texts)}
        make_tree(self.server.store / "overlays/common", {"etc/wanted": f"{kernel}\n", **tree})
        return hashlib.sha256("".join(texts).encode()).hexdigest()

    def boot(self, until: str, seconds: float = 0.0, *, when_fetched: bool = False) -> str:
        """Boot it; that long after it said so the power goes. What it has said by then.

        when_fetched: or that long after it has, then, fetched all the files.
        """
        before = len(self.server.log)
        self._boots += 1
        firmware = qemu.flash(self.top / "variables") if self._uefi else []
        more = [*firmware, *qemu.disk(self.file)]
        with qemu.guest(self.top / f"boot{self._boots}", more, memory=1024) as guest:
            guest.wait_for(until, results=True)
            deadline = time.monotonic() + 120
            while when_fetched and not re.search(_ALL_SENT, self.server.log[before:]):
                assert time.monotonic() < deadline, self.server.log[before:]
                time.sleep(0.1)
            time.sleep(seconds)
            guest.pull_the_plug()
            return guest.results.read_text(errors="replace").replace("\r", "")

    def look(self) -> boot_loader.Written:
        """The menu as its loader finds it, by no journal; every kernel that it names is whole."""
        at = self.top / f"look{self._boots}"
        at.mkdir()
        with looped(self.file) as device, disk.numbered(device):
            if self._uefi:
                names = ["::loader", "::systems", str(at)]
                copy = ["mcopy", "-s", "-m", "-Q", "-i", f"{device}p1", *names]
            else:
                copy = ["debugfs", "-R", f"rdump /grub /systems {at}", f"{device}p2"]
            subprocess.run(copy, check=True, capture_output=True)
        there = menu_partition.loader_of(Volume(str(at))).read()
        assert there.ids
        [image] = (self.server.store / "images/deb/boot").glob("vmlinuz-*")
        for each in there.kernels:
            assert (at / each[1:]).read_bytes() == image.read_bytes()
        return there


def comes_up_and_converges(pc: PC) -> None:
    """The power goes at its first boot already, and again and again."""
    overlay(pc.server.store, _TREE)
    pc.want(1, 0)
    pc.boot("tick begins", 6.0)
    pc.want(2, 0)
    pc.boot("tick begins", 1.0, when_fetched=True)  # it places them
    pc.look()
    for number, seconds in enumerate((0.5, 4.0), 3):  # copying kernels, or naming them
        pc.want(number, number)
        pc.boot(f"kernel 99.{number}", seconds)
        there = pc.look()
        assert there.env["allie_default"] in there.ids
    wanted = pc.want(5, 5)
    pc.boot("end of this tick")
    said = pc.boot("end of this tick")
    last = pc.look()
    assert f"files: {wanted} " in said
    assert "left:  \n" in said
    assert last.ids[0] == "deb/99.5"
    assert (last.env["allie_default"], last.env["allie_good"]) == ("deb/99.5", "deb/99.5")
    assert "default, running" in said
    assert "bless" not in said, "systemd leaves a boot that is counted to our tick"
