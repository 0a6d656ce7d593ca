"""`allie install` on a disk (a loop device), with an image of busybox: what it makes and refuses.

GRUB and the kernel are stand-ins here; tests/vm boots what the real ones make.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from allie.machine.transfer.ssh_door import fingerprint
from allie.server import store as allie_store
from tests.worlds.aside import PATH
from tests.worlds.busybox import busybox_root
from tests.worlds.disk import alone
from tests.worlds.installing import install
from tests.worlds.loop import looped
from tests.worlds.ssh_door import SshDoor
from tests.worlds.toy import File, Tree

pytestmark = [pytest.mark.root, pytest.mark.real, pytest.mark.slow]

_LAYOUT = """\
[layout]
boot = 128M
system1 = 512M
system2 = 512M
swap = 16M
share = rest
"""
_MKIMAGE = """\
#!/bin/sh
while [ "$1" != -o ]; do shift; done
head -c 2000 /bin/busybox > "$2"
"""
_NAMES = ["allie-bios", "allie-boot", "system1", "system2", "allie-swap", "allie-share"]
# The first time it does half of its work, and the power goes
_KILLS = """\
#!/bin/sh
[ -e "$0.done" ] && exec {real} "$@"
: > "$0.done"
{real} "$@"
kill -9 $PPID
"""


class Disk:
    """An empty disk, a store with the image `box`, and the command that brings them together."""

    def __init__(self, top: Path, device: str) -> None:
        self.device, self.store = device, top / "store"
        self._layout = top / "layout"
        self._layout.write_text(_LAYOUT)

    def install(
        self, *words: str, where: str = "", path: str = PATH
    ) -> subprocess.CompletedProcess[str]:
        more = ("--host", "pc1", "--layout", str(self._layout), *words)
        done = install(where or self.device, str(self.store), *more, image="box", path=path)
        assert "Traceback" not in done.stdout
        assert done.returncode == 137 or "left: " not in done.stdout
        return done

    def names(self) -> list[str]:
        done = subprocess.run(["sfdisk", "--json", self.device], capture_output=True, text=True)
        table = json.loads(done.stdout)["partitiontable"]["partitions"] if done.stdout else []
        return [each["name"] for each in table]

    def read(self, number: int, path: str) -> str:
        """A file of a partition, by debugfs: nothing is mounted."""
        asked = ["debugfs", "-R", f"cat {path}", f"{self.device}p{number}"]
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    store = tmp_path / "store"
    allie_store.init(str(store))
    grub = "usr/lib/grub/i386-pc"
    tree: Tree = {
        "boot/vmlinuz-6.1": "kernel",
        "boot/initrd.img-6.1": "initrd",
        f"{grub}/modinfo.sh": "",
        "usr/bin/grub-mkimage": File(_MKIMAGE, 0o755),
        "etc/systemd/system/x": "",
        "usr/lib/systemd/systemd": File("", 0o755),
    }
    image = busybox_root(store / "images/box", tree)
    (image / grub / "boot.img").write_bytes(Path("/", grub, "boot.img").read_bytes())
    file = tmp_path / "disk"
    subprocess.run(["truncate", "-s", "1300M", str(file)], check=True)
    with alone(), looped(file) as device:
        try:
            yield Disk(tmp_path, device)
        finally:
            subprocess.run(["partx", "-d", device], check=False, capture_output=True)


def test_a_disk_is_divided_filled_and_left_alone_the_second_time(disk: Disk) -> None:
    done = disk.install("--yes")
    assert done.returncode == 0, done.stdout
    assert "image box has no python3 and no rsync: box will not tick by itself." in done.stdout
    assert disk.names() == _NAMES
    assert disk.read(3, "etc/hostname") == "pc1\n"
    assert disk.read(3, "etc/fstab").splitlines()[1:] == [
        "PARTLABEL=system1 / auto defaults 0 1",
        "LABEL=swap none swap sw,nofail 0 0",
        "LABEL=share /share ext4 defaults,nofail 0 2",
    ]
    assert "root = PARTLABEL=system1" in disk.read(3, "etc/allie/allie.conf")
    assert disk.read(3, "root/conf/run-conf").startswith("#!/bin/sh")
    assert "'box/6.1'" in disk.read(2, "grub/grub.cfg")
    units = "etc/systemd/system/timers.target.wants/allie.timer"
    assert "Type: symlink" in _stat(f"{disk.device}p3", units), "ticks are switched on"
    before = disk.read(3, "var/lib/allie/tick")
    for name in ("python3", "rsync"):
        (disk.store / "images/box/usr/bin" / name).symlink_to("busybox")
    again = disk.install("--yes")
    assert again.returncode == 0, again.stdout
    assert "to be gone on with" in again.stdout
    assert "will not tick by itself" not in again.stdout
    assert disk.read(3, "var/lib/allie/tick") == before


@pytest.mark.parametrize("program", ["sfdisk", "partx", "mkfs.ext4", "mkswap", "rsync", "chroot"])
def test_killed_at_a_step_the_same_command_goes_on(
    disk: Disk, tmp_path: Path, program: str
) -> None:
    fakes = tmp_path / "bin"
    fakes.mkdir()
    real = subprocess.run(["which", program], capture_output=True, text=True, check=True)
    (fakes / program).write_text(_KILLS.format(real=real.stdout.strip()))
    (fakes / program).chmod(0o755)
    killed = disk.install("--yes", path=f"{fakes}:{PATH}")
    assert killed.returncode == 137, killed.stdout
    done = disk.install("--yes")
    assert done.returncode == 0, done.stdout
    assert disk.names() == _NAMES
    assert disk.read(3, "etc/allie/system") == "box\n"
    assert "'box/6.1'" in disk.read(2, "grub/grub.cfg")


def test_what_a_disk_holds_is_not_lost_unasked(disk: Disk) -> None:
    subprocess.run(["mkfs.ext4", "-q", "-F", "-L", "mine", disk.device], check=True)
    done = disk.install("--yes")
    assert done.returncode == 2
    assert f"holds something: {disk.device}: ext4 mine\n" in done.stdout
    assert "if it may go: --erase" in done.stdout
    assert disk.names() == []
    assert disk.install("--yes", "--erase").returncode == 0
    assert disk.names() == _NAMES


@pytest.mark.parametrize("label", ["swap", "share", "allie-boot"])
def test_another_disk_with_a_label_of_ours(disk: Disk, tmp_path: Path, label: str) -> None:
    """What is mounted or swapped to by its label could be the other disk's."""
    (tmp_path / "other").write_bytes(b"")
    os.truncate(tmp_path / "other", 8 << 20)
    make = ["mkswap", "-q", "-L"] if label == "swap" else ["mkfs.ext4", "-q", "-F", "-L"]
    with looped(tmp_path / "other") as other:
        subprocess.run([*make, label, other], check=True)
        done = disk.install("--yes")
    assert done.returncode == 2
    assert f"another disk of this PC has LABEL={label}: {other}" in done.stdout
    assert disk.names() == []


def test_a_disk_in_use_is_never_written_on(disk: Disk) -> None:
    subprocess.run(["mkfs.ext4", "-q", "-F", disk.device], check=True)
    at = disk.store.parent / "mounted"
    at.mkdir()
    subprocess.run(["mount", disk.device, str(at)], check=True)
    try:
        done = disk.install("--yes", "--erase")
    finally:
        subprocess.run(["umount", str(at)], check=True)
    assert done.returncode == 2
    assert f"is in use: mounted on {at}" in done.stdout
    assert disk.names() == []


@pytest.mark.parametrize(
    ("where", "words", "said"),
    [
        ("/dev/null", ("--yes",), "is no disk of this machine"),
        ("/nowhere", ("--yes",), "is no disk of this machine"),
        ("", (), "nobody is here to be asked"),
        ("", ("--yes", "--layout", "/nowhere"), "/nowhere is missing"),
        ("", ("--yes", "--overlays", "a/b"), "overlay"),
        ("", ("--yes", "--store", "ftp://x"), "is not the address of a store"),
    ],
)
def test_mistakes_write_nothing(disk: Disk, where: str, words: tuple[str, ...], said: str) -> None:
    done = disk.install(*words, where=where)
    assert done.returncode in (2, 64), done.stdout
    assert said in done.stdout
    assert disk.names() == []


def test_an_image_that_the_store_has_not(disk: Disk) -> None:
    os.rename(disk.store / "images/box", disk.store / "images/other")
    done = disk.install("--yes")
    assert done.returncode == 2
    assert f"{disk.store} has no image box" in done.stdout
    assert disk.names() == []


def _modprobe(folder: Path, code: int) -> str:
    """A PATH in which modprobe says that it loaded a module, or could not."""
    folder.mkdir()
    (folder / "modprobe").write_text(f"#!/bin/sh\nexit {code}\n")
    (folder / "modprobe").chmod(0o755)
    return f"{folder}:{PATH}"


def test_what_the_loader_of_the_layout_needs(disk: Disk, tmp_path: Path) -> None:
    """The image must have it, and this Linux must be able to write it."""
    (tmp_path / "other").write_text(_LAYOUT.replace("]\n", "]\nloader = systemd-boot\n"))
    words = ("--yes", "--layout", str(tmp_path / "other"))
    able = disk.install(*words, path=_modprobe(tmp_path / "able", 0))
    assert able.returncode == 2
    hint = "put it in its image: systemd-boot-efi"
    assert f"image box has no systemd-boot\n       {hint}" in able.stdout
    unable = disk.install(*words, path=_modprobe(tmp_path / "unable", 1))
    known = "vfat" in Path("/proc/filesystems").read_text().split()
    assert unable.returncode == 2
    assert ("this Linux has no vfat" in unable.stdout) is not known
    assert disk.names() == []


def test_a_failure_says_what_state_the_disk_is_in(disk: Disk) -> None:
    os.rename(disk.store / "images/box/usr", disk.store / "usr")
    done = disk.install("--yes")
    assert done.returncode == 2
    assert f"{disk.device}: it is divided; box is not complete in it" in done.stdout
    assert "The same command goes on from there" in done.stdout
    os.rename(disk.store / "usr", disk.store / "images/box/usr")
    assert disk.install("--yes").returncode == 0


def _stat(device: str, path: str) -> str:
    asked = ["debugfs", "-R", f"stat {path}", device]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout


def test_a_pc_has_a_key_before_its_first_tick_and_can_be_enrolled(disk: Disk) -> None:
    """So a room can be enrolled by one scan. What is its own comes at its first tick of its own."""
    (disk.store / "images/box/etc/ssh").mkdir()  # as an image with ssh has it
    with SshDoor(disk.store) as door:
        done = disk.install("--yes", "--own", door.url)
        assert done.returncode == 0, done.stdout
        assert f"its key is {fingerprint(door.host_key)}; no other is taken" in done.stdout
        found = re.search(r"allie store enrol pc1 '(ssh-ed25519 \S+)'", done.stdout)
        assert found, done.stdout
        assert disk.read(3, "etc/ssh/ssh_host_ed25519_key.pub").split()[:2] == found[1].split()
        assert "Mode:  0600" in _stat(f"{disk.device}p3", "etc/ssh/ssh_host_ed25519_key")
        assert disk.read(3, "etc/allie/known_hosts") == f"allie-store {door.host_key}\n"
        assert f"own = {door.url}\n" in disk.read(3, "etc/allie/allie.conf")


def test_an_image_does_not_come_by_the_ssh_door(disk: Disk) -> None:
    done = install(disk.device, "ssh://server:8730", "--yes", image="box")
    assert (done.returncode, disk.names()) == (64, [])
    assert "--store rsync://… --own ssh://server:8730" in done.stdout
