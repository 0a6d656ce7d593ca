"""An installed PC loses its power in a tick, and while its menu is rewritten: it boots anyway.

What the guest had written to its disk is there afterwards, and what it still held in memory is not.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import time
from pathlib import Path

import pytest

from allie.client import menufiles
from allie.machine import efivars
from tests.worlds import disk, qemu
from tests.worlds.bare_metal import Site, empty_disk
from tests.worlds.installing import install
from tests.worlds.loop import looped
from tests.worlds.store import Served, served
from tests.worlds.toy import File, Tree, make_tree

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.vm, pytest.mark.vm_all]

_LAYOUTS = {
    "grub": "[layout]\nboot = 260M\nsystem1 = 900M\nswap = 32M\n",
    "systemd-boot": "[layout]\nloader = systemd-boot\nboot = 260M\nsystem1 = 900M\nswap = 32M\n",
}
_FILES = 300
_ALL_SENT = r"sent [0-9]{7,} bytes"
_MARK = "[Service]\nExecStartPre=/bin/sh -c 'echo \"tick begins\" >/dev/ttyS1'\n"
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
    echo "left: $(ls /var/lib/allie/stage /var/lib/allie/intent-* 2>/dev/null | tr '\\n' ' ')"
    allie boot
    systemctl --failed --no-legend
} >/dev/ttyS1
sync
echo "end of this tick" >/dev/ttyS1
"""


class PC:
    """An installed PC, and the store that it follows."""

    def __init__(self, site: Site, loader: str, top: Path) -> None:
        self.site, self.loader, self.file = site, loader, top / "disk"
        self._top, self._boots = top, 0

    def install(self, server: Served) -> None:
        if self.loader == "systemd-boot":  # its boot partition needs a vfat
            self.site.install(server, self.file, self._top / "installer")
            return
        empty_disk(self.file)
        layout = self._top / "layout"
        layout.write_text(_LAYOUTS[self.loader])
        url = server.url.replace("127.0.0.1", "store.test")
        with disk.alone(), looped(self.file) as device:
            done = install(device, url, "--host", "pc1", "--layout", str(layout), "--yes")
            subprocess.run(["partx", "-d", device], check=False)
        assert done.returncode == 0, done.stdout

    def want(self, number: int, kernel: int) -> str:
        """Change the store: other files and another kernel; what the files' digest will be."""
        common = self.site.store / "overlays/common"
        many = {f"srv/many/{each}": f"{number} {each}\n" * 2000 for each in range(_FILES)}
        make_tree(common, {"etc/wanted": f"{kernel}\n"})
        for path, text in many.items():
            make_tree(common, {path: text})
        return hashlib.sha256("".join(many.values()).encode()).hexdigest()

    def boot(self, until: str, seconds: float = 0.0, fetched: Served | None = None) -> str:
        """Boot it; that long after it said so the power goes. What it has said by then.

        fetched: or that long after it has, then, fetched all the files from there.
        """
        before = len(fetched.log) if fetched else 0
        self._boots += 1
        firmware = []
        if self.loader == "systemd-boot":
            firmware = qemu.flash(self._top / "variables")
        more = [*firmware, *qemu.disk(self.file)]
        with qemu.guest(self._top / f"boot{self._boots}", more, memory=1024) as guest:
            guest.wait_for(until, 300, results=True)
            deadline = time.monotonic() + 120
            while fetched and not re.search(_ALL_SENT, fetched.log[before:]):
                assert time.monotonic() < deadline, fetched.log[before:]
                time.sleep(0.1)
            time.sleep(seconds)
            guest.pull_the_plug()
            return guest.results.read_text(errors="replace").replace("\r", "")

    def look(self) -> menufiles.Written:
        """The menu as its loader finds it, by no journal; every kernel that it names is whole."""
        at = self._top / f"look{self._boots}"
        at.mkdir()
        with looped(self.file) as device, disk.numbered(device):
            if self.loader == "systemd-boot":
                names = ["::loader", "::systems", str(at)]
                copy = ["mcopy", "-s", "-m", "-Q", "-i", f"{device}p1", *names]
            else:
                copy = ["debugfs", "-R", f"rdump /grub /systems {at}", f"{device}p2"]
            subprocess.run(copy, check=True, capture_output=True)
        there = menufiles.read(str(at))
        assert there.ids
        [image] = self.site.image.glob("boot/vmlinuz-*")
        for each in there.kernels:
            assert (at / each[1:]).read_bytes() == image.read_bytes()
        return there


@pytest.fixture(params=["grub", "systemd-boot"])
def pc(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PC:
    monkeypatch.setattr(efivars, "_TOP", str(tmp_path / "no firmware of this machine's"))
    site = Site(tmp_path / "site")
    more: Tree = {
        "root/conf/97kernel": File(_KERNEL, 0o755),
        "root/conf/99says": File(_SAYS, 0o755),
        "etc/systemd/system/allie.service.d/mark.conf": _MARK,
    }
    make_tree(site.store / "overlays/common", more)
    if request.param == "systemd-boot":
        site.make(plan=_LAYOUTS[request.param])
    return PC(site, request.param, tmp_path)


@pytest.mark.timeout(3000)
def test_it_comes_up_and_converges(pc: PC) -> None:
    pc.want(0, 0)
    with served(pc.site.store) as server:
        pc.install(server)
        pc.want(1, 0)
        pc.boot("tick begins", 6.0)
        for number, seconds in enumerate((0.0, 2.0), 2):  # it places them
            pc.want(number, 0)
            pc.boot("tick begins", seconds, fetched=server)
            pc.look()
        for number, seconds in enumerate((0.5, 4.0), 4):  # copying kernels, or naming them
            pc.want(number, number)
            pc.boot(f"kernel 99.{number}", seconds)
            there = pc.look()
            assert there.env["allie_default"] in there.ids
        wanted = pc.want(6, 6)
        pc.boot("end of this tick")
        said = pc.boot("end of this tick")
        last = pc.look()
    assert f"files: {wanted} " in said
    assert "left: \n" in said
    assert last.ids[0] == "deb/99.6"
    assert (last.env["allie_default"], last.env["allie_good"]) == ("deb/99.6", "deb/99.6")
    assert "default, running" in said
    assert "bless" not in said, "systemd leaves a boot that is counted to our tick"
