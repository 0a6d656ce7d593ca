"""The installer of an image: made by the image's own mkinitramfs, and booted."""

from __future__ import annotations

import gzip
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from allie.core.errors import StateError, UsageError
from allie.machine.mounts import mount_table
from allie.server.media import installer
from tests.worlds import machine, qemu
from tests.worlds.bare_metal import SOON, Site, empty_disk
from tests.worlds.store import served

pytestmark = [pytest.mark.real, pytest.mark.root, pytest.mark.slow]
BOOT = Path(installer.__file__).parent / "initramfs/boot.sh"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if not machine.is_root():
        pytest.skip("needs root")
    made = Site(tmp_path_factory.mktemp("installer"), SOON)
    before = _state(made.image)
    made.make("console=ttyS0 panic=1 allie.yes allie.disk=/dev/nothing", with_iso=True)
    assert _state(made.image) == before, "the image was written to"
    yield made


def _state(top: Path) -> dict[str, tuple[int, int, int]]:
    found = {}
    for above, directories, files in os.walk(top):
        for name in (*directories, *files):
            st = os.lstat(f"{above}/{name}")
            found[f"{above}/{name}"] = (st.st_ino, st.st_ctime_ns, st.st_size)
    return found


@pytest.mark.timeout(3600)
def test_what_is_in_it(site: Site) -> None:
    assert sorted(os.listdir(site.out)) == ["initrd", "installer.iso", "vmlinuz"]
    assert os.listdir(site.out.parent) and not list(site.out.parent.glob(".installer*"))
    assert mount_table.at_or_below(str(site.out.parent)) == ""
    packed = gzip.decompress((site.out / "initrd").read_bytes())
    listing = ["chroot", str(site.image), "cpio", "-t", "--quiet"]
    done = subprocess.run(listing, input=packed, capture_output=True, check=True)
    there = set(done.stdout.decode().split("\n"))
    assert {"scripts/allie", "usr/local/bin/allie", "usr/bin/python3"} <= there
    assert "conf/conf.d/allie" in there, "without it, initramfs-tools gives a shell where it fails"
    for program in ("rsync", "sfdisk", "mkfs.ext4", "mkfs.vfat", "blkid", "mount", "udevadm"):
        assert f"usr/local/sbin/{program}" in there
    assert any(name.endswith("/configparser.py") for name in there)
    assert any("/virtio_net.ko" in name for name in there)


@pytest.mark.vm
@pytest.mark.vm_all
@pytest.mark.timeout(3600)
def test_an_empty_disk_is_installed_unattended_and_boots_by_uefi(
    site: Site, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    firmware = ["-bios", str(qemu.firmware())]
    with served(site.store) as server:
        said = site.install(server, disk, tmp_path / "installer")
        assert "deb is installed on /dev/vda, which boots by BIOS and UEFI" in said
        (site.store / "overlays/common/etc/changed").write_text("since then\n")
        with qemu.guest(tmp_path / "pc", [*firmware, *qemu.disk(disk)], memory=1024) as guest:
            guest.wait_for("ticked as pc5: since then", results=True)


@pytest.mark.vm
@pytest.mark.vm_all
@pytest.mark.timeout(3600)
def test_the_plug_is_pulled_while_it_installs(site: Site, tmp_path: Path) -> None:
    """In mid-image; at the next start of the installer it goes on, and the disk boots by BIOS."""
    disk = tmp_path / "disk"
    with served(site.store) as server:
        more = [*site.boot_installer(server), *empty_disk(disk)]
        with qemu.guest(tmp_path / "cut", more) as guest:
            guest.wait_for("partitions and file systems: there")
            time.sleep(8)
            assert "first tick is done" not in guest.console.read_text(errors="replace")
            guest.pull_the_plug()
        with qemu.guest(tmp_path / "again", more) as guest:
            said = guest.wait_for("allie: installed; power off")
        assert "to be gone on with" in said
        assert "deb is installed on /dev/vda, which boots by BIOS and UEFI" in said
        (site.store / "overlays/common/etc/changed").write_text("since the power was back\n")
        with qemu.guest(tmp_path / "pc", qemu.disk(disk), memory=1024) as guest:
            guest.wait_for("ticked as pc5: since the power was back", results=True)


@pytest.mark.vm
@pytest.mark.vm_all
@pytest.mark.parametrize("way", ["bios-usb", "uefi-cd"])
@pytest.mark.timeout(3600)
def test_the_iso_boots(site: Site, tmp_path: Path, way: str) -> None:
    iso = site.out / "installer.iso"
    more = ["-cdrom", str(iso), "-bios", str(qemu.firmware())]
    if way == "bios-usb":
        more = qemu.disk(iso, snapshot=True)
    with qemu.guest(tmp_path / "guest", more, memory=1024) as guest:
        said = guest.wait_for("allie: not installed")
    assert "allie install --layout /etc/allie-layout --yes --disk /dev/nothing" in said


@pytest.mark.vm
@pytest.mark.vm_all
@pytest.mark.parametrize("asked", ["", " allie.shell"])
@pytest.mark.timeout(3600)
def test_a_shell_is_there_only_where_it_was_asked_for(
    site: Site, tmp_path: Path, asked: str
) -> None:
    more = ["-kernel", str(site.out / "vmlinuz"), "-initrd", str(site.out / "initrd")]
    more += ["-append", f"console=ttyS0 allie.yes allie.disk=/dev/nothing{asked}"]
    with qemu.guest(tmp_path / "guest", more, memory=1024) as guest:
        said = guest.wait_for("(initramfs)" if asked else "Enter tries again")
        time.sleep(10)
        said += guest.console.read_text(errors="replace")
    assert "allie: not installed: the reason is above" in said
    assert ("(initramfs)" in said) == bool(asked)


@pytest.mark.timeout(120)
def test_an_image_that_lacks_something(site: Site, tmp_path: Path) -> None:
    bare = site.store / "images/bare"
    (bare / "etc").mkdir(parents=True)
    with pytest.raises(StateError, match=r"no kernel.*linux-image-amd64"):
        installer.make(str(site.store), "bare", str(tmp_path / "out"), "", with_iso=False)
    (bare / "boot").mkdir()
    (bare / "boot/vmlinuz-6.1").touch()
    (bare / "lib/modules/6.1").mkdir(parents=True)
    with pytest.raises(StateError, match=r"initramfs-tools.*Debian or Ubuntu"):
        installer.make(str(site.store), "bare", str(tmp_path / "out"), "", with_iso=False)
    assert os.listdir(tmp_path) == []


@pytest.mark.timeout(3600)
def test_a_failure_leaves_what_was(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _state(site.out)
    monkeypatch.setattr(installer, "_CONFIGURATION", "MODULES=most\n")
    with pytest.raises(StateError, match="mkinitramfs of"):
        site.make()
    assert _state(site.out) == before
    assert not list(site.out.parent.glob(".installer*"))
    (tmp_path / "mine").touch()
    with pytest.raises(UsageError, match="no installer of ours"):
        installer.make(str(site.store), "deb", str(tmp_path), "", with_iso=False)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("quiet ip=dhcp", ""),
        ("allie.store=rsync://a:1 allie.disk=/dev/sda", "--store rsync://a:1 --disk /dev/sda"),
        ("quiet allie.yes splash", "--yes"),
        ("allie.end=poweroff allie.image=a=b", "--image a=b"),
        ("allie.disk=/dev/v*a", "--disk /dev/v*a"),
        ("xallie.yes allie. allie", ""),
    ],
)
def test_the_kernel_line(line: str, wanted: str, tmp_path: Path) -> None:
    script = f'. {BOOT}\nallie() {{ printf "%s\\n" "$@"; }}\nallie_install "$1"'
    argv = ["sh", "-c", script, "sh", line]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.split("\n")[1:-1] == ["install", *wanted.split()]
