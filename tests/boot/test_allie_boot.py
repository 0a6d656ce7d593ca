"""`allie boot` and the tick's part in it, on a PC (a Debian root) with a boot partition."""

from __future__ import annotations

import hashlib
import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from allie.server import store
from tests.tick.site import debian, run_in
from tests.worlds import disk
from tests.worlds.pc import Result
from tests.worlds.toy import make_tree

pytestmark = [pytest.mark.real, pytest.mark.root, pytest.mark.slow]

# udev's links, in a /dev that is seen by the one who runs this alone
_DEV = """\
mount -t sysfs sysfs /sys
mkdir /run/up /run/work
mount -t overlay overlay -o lowerdir=/dev,upperdir=/run/up,workdir=/run/work /dev
mkdir -p /dev/disk/by-label
ln -s {device}p1 /dev/disk/by-label/allie-boot
ln -s {device}p2 /dev/disk/by-label/allie-t-other
"""
_CONF = """\
[allie]
store = /store
[system deb]
root = LABEL=allie-t-deb
overlays = kit
[system other]
root = LABEL=allie-t-other
"""


class PC:
    """A base, `deb`, and a disk with the boot partition and a system `other`."""

    def __init__(self, root: Path, device: str) -> None:
        self.root, self.device = root, device

    def run(self, command: str) -> Result:
        return run_in(self.root, _DEV.format(device=self.device) + command)

    def listed(self) -> dict[str, list[str]]:
        done = self.run("allie boot --json")
        assert done.rc == 0, done
        return {
            f"{each['system']}/{each['kernel']}": each["marks"] for each in json.loads(done.out)
        }

    def kernels(self, root: Path, *releases: str) -> None:
        for release in releases:
            names = (f"boot/vmlinuz-{release}", f"boot/initrd.img-{release}")
            make_tree(root, {name: f"{name}\n" for name in names})


@pytest.fixture
def pc(tmp_path: Path) -> Iterator[PC]:
    root = debian("bookworm", tmp_path / "pc")
    store.init(str(root / "store"))
    other = tmp_path / "other"
    with disk.partitioned(tmp_path / "disk", "96M", ("64M", "L"), ("16M", "L")) as device:
        made = PC(root, device)
        made.kernels(root, "6.1", "6.2")
        made.kernels(other, "3.10")
        make_tree(other, {"etc/allie/system": "other\n"})
        make_tree(root, {"etc/allie/allie.conf": _CONF, "etc/allie/system": "deb\n"})
        make = ["mkfs.ext4", "-q", "-L"]
        subprocess.run([*make, "allie-boot", f"{device}p1"], check=True)
        subprocess.run([*make, "allie-t-other", "-d", str(other), f"{device}p2"], check=True)
        client = "install -m 755 /store/overlays/kit/usr/local/bin/allie /usr/local/bin/"
        before = _digest(device)
        done = made.run(f"{client} && allie join --no-timer /store")
        assert done.rc == 0, done
        # Not at fault, and nothing done: the boot partition may be anybody's stick.
        assert "not bound: LABEL=allie-boot" in made.run("cat /var/log/allie/98systems.log").out
        assert made.run("allie boot").rc == made.run("allie boot other").rc == 2
        assert _digest(device) == before, "neither of them was mounted"
        done = made.run("allie system add other --trust && allie boot --trust")
        assert done.rc == 0, done
        assert made.run("/root/conf/run-conf").rc == 0
        yield made


def _digest(device: str) -> str:
    """What is on a disk."""
    subprocess.run(["sync"], check=True)
    return hashlib.sha256(Path(device).read_bytes()).hexdigest()


def test_the_menu_follows_and_obeys(pc: PC) -> None:
    assert pc.listed() == {"deb/6.2": ["default"], "deb/6.1": [], "other/3.10": []}
    assert pc.run("allie boot other --once").out == "other/3.10 is booted next, once\n"
    assert pc.listed()["other/3.10"] == ["next boot only"]
    assert pc.run("allie boot other").rc == 0
    assert pc.listed() == {"deb/6.2": [], "deb/6.1": [], "other/3.10": ["default"]}
    pc.kernels(pc.root, "6.3")
    done = pc.run("/root/conf/run-conf && allie boot deb/6.3")
    assert done.out.endswith("deb/6.3 is booted next, and from then on\n"), done
    done = pc.run("allie boot el7")
    assert (done.rc, done.out) == (64, "")
    assert "the menu has no el7" in done.err
    assert "deb/6.3 deb/6.2 deb/6.1 other/3.10" in done.err
    assert pc.run("allie boot --once").rc == 64
    assert pc.run("allie boot deb/6.1 && /root/conf/run-conf").rc == 0
    assert pc.listed()["deb/6.1"] == ["default"], "it was named, and a tick leaves it so"
    assert list(pc.listed()) == ["deb/6.3", "deb/6.2", "deb/6.1", "other/3.10"]


def test_a_default_that_is_passed_over_is_told_at_each_tick(pc: PC) -> None:
    at = "mount /dev/disk/by-label/allie-boot /mnt"
    env = "allie_default=deb/6.2\nallie_bad=other/3.10\n"
    put = f"{at} && printf {shlex.quote(env)} >/mnt/grub/grubenv && umount /mnt"
    done = pc.run(f"{put} && /root/conf/run-conf")
    assert done.rc == 1
    assert "other/3.10 did not come up twice, deb/6.2 is booted instead" in done.err
    assert pc.listed()["other/3.10"] == ["did not come up twice"]
    status = pc.run("allie status")
    assert "other/3.10 did not come up twice" in status.out
    assert pc.run("allie boot deb && /root/conf/run-conf").rc == 0
    without = run_in(pc.root, "allie boot")
    assert without.rc == 2
    assert "no boot partition of ALLiE's (LABEL=allie-boot)" in without.err


def test_a_boot_partition_that_somebody_prepared(pc: PC) -> None:
    make_tree(pc.root, {"srv/home/thesis": "of years\n", "srv/target/mine": "my own\n"})
    links = "ln -s /srv/home systems/evil; rm -r systems/deb; ln -s /srv/target systems/deb"
    at = "mount /dev/disk/by-label/allie-boot /mnt && cd /mnt"
    done = pc.run(f"({at} && {links}) && umount /mnt && /root/conf/run-conf")
    assert done.rc == 1, done
    assert "systems/deb is a symlink" in done.err
    done = pc.run(
        f"({at} && rm systems/deb) && umount /mnt && /root/conf/run-conf && {at} && ls systems"
    )
    assert (done.rc, done.out.split()[-2:]) == (0, ["deb", "other"]), done
    left = pc.run("cat /srv/home/thesis; ls /srv/target").out
    assert left == "of years\nmine\n"
