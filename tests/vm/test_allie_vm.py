"""`allie vm`: a directory and a partition are booted, and stay as they were.

It runs in an /etc and a /run of its own (tests.worlds.aside), so this machine's are not touched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import leftovers
from tests.worlds import aside, qemu
from tests.worlds.loop import looped

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.vm]

_BASE = """\
mkdir -p /etc/allie
printf 'thebase\\n' > /etc/allie/system
cat > /etc/allie/allie.conf <<'END'
[allie]
store = /nowhere
[system thebase]
overlays = common
[system other]
root = {where}
END
"""
_FAKE = """\
#!/bin/sh
echo "$@" >> "$(dirname "$0")/calls"
exit {code}
"""


EMULATED = ("--accel", "tcg", "--cpus", "1")


def vm(
    where: str, *words: str, path: str = aside.PATH, seconds: float = 60
) -> subprocess.CompletedProcess[str]:
    """`allie vm other …` on a PC whose system `other` is at `where`; its outputs in one."""
    before, known = _BASE.format(where=where), ""
    if "LABEL=" in where:  # on a loop device, which only a person can mean
        before += f"{sys.executable} -I -m allie.cli.main system add other --trust\n"
        known = "virt"  # what kind of machine this is, is noted until its next boot
    return aside.allie(
        "vm", "other", *words, before=before, known=known, path=path, seconds=seconds
    )


@pytest.fixture
def partition(tmp_path: Path, bootable: Path) -> Path:
    """The image of a partition that boots, writes a file and says so."""
    root, image = tmp_path / "root", tmp_path / "image"
    subprocess.run(["cp", "-a", str(bootable), str(root)], check=True)
    _probe(root)
    qemu.image_of(root, image, label="allievmtest")
    shutil.rmtree(root)
    return image


@pytest.fixture
def small(tmp_path: Path) -> str:
    """A directory with a kernel that only a stand-in for QEMU is given."""
    boot = tmp_path / "small/boot"
    boot.mkdir(parents=True)
    (boot / "vmlinuz-6.1").write_bytes(b"kernel")
    (boot / "initrd.img-6.1").write_bytes(b"initrd")
    return str(tmp_path / "small")


def fake(place: Path, code: int) -> str:
    """A PATH in which QEMU says nothing and exits `code`; its calls are in place/calls."""
    place.mkdir()
    program = place / "qemu-system-x86_64"
    program.write_text(_FAKE.format(code=code))
    program.chmod(0o755)
    return f"{place}:{aside.PATH}"


def accelerators(place: Path) -> list[str]:
    """What each call was to use."""
    return [
        line.split()[1].partition(",")[0] for line in (place / "calls").read_text().splitlines()
    ]


def test_without_a_word_under_kvm_it_is_emulated(tmp_path: Path, small: str) -> None:
    done = vm(small, path=fake(tmp_path / "bin", 1))
    first = ["kvm"] if os.access("/dev/kvm", os.R_OK | os.W_OK) else []
    assert accelerators(tmp_path / "bin") == [*first, "tcg"]
    assert done.returncode == 2
    assert "qemu-system-x86_64 ended with 1" in done.stdout


def test_what_is_asked_for_is_not_changed(tmp_path: Path, small: str) -> None:
    vm(small, "--accel", "kvm", path=fake(tmp_path / "bin", 1))
    assert accelerators(tmp_path / "bin") == ["kvm"]


def test_without_qemu_it_names_the_packages(small: str) -> None:
    done = vm(small, path="/nowhere")
    assert done.returncode == 2
    assert "qemu-system-x86 (apt, pacman)" in done.stdout
    assert "qemu-x86 (zypper)" in done.stdout


def test_the_running_system_is_not_booted() -> None:
    done = vm("/")
    assert done.returncode == 2
    assert "other is the system that runs now" in done.stdout


@pytest.mark.timeout(3600)
def test_a_directory_boots_and_stays_as_it_was(tmp_path: Path, bootable: Path) -> None:
    root = tmp_path / "root"
    subprocess.run(["cp", "-a", str(bootable), str(root)], check=True)
    _probe(root)
    before = leftovers.in_var_tmp()
    done = vm(str(root), *EMULATED, seconds=300)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "the probe was here" in done.stdout
    assert not (root / "written").exists()
    assert "left: " not in done.stdout
    assert leftovers.in_var_tmp() <= before


# The PC has the kernel and its modules, as `bootable` has them; the system has neither.
_KERNEL = """
mount --bind {kept}/boot /boot
mount -t overlay overlay -o lowerdir={kept}/lib:/usr/lib /usr/lib
"""


@pytest.mark.vm_all
@pytest.mark.timeout(3600)
def test_a_directory_without_a_kernel_boots_the_running_one_with_its_modules(
    tmp_path: Path, bootable: Path
) -> None:
    root, kept = tmp_path / "root", tmp_path / "kept"
    subprocess.run(["cp", "-a", str(bootable), str(root)], check=True)
    (kept / "lib").mkdir(parents=True)
    shutil.move(root / "boot", kept / "boot")
    shutil.move(root / "usr/lib/modules", kept / "lib/modules")
    for name in ("vmlinuz", "initrd.img"):
        (root / name).unlink(missing_ok=True)
    _probe(root, "modprobe dummy && grep -q dummy /proc/modules")
    before = _BASE.format(where=root) + _KERNEL.format(kept=kept)
    done = aside.allie("vm", "other", *EMULATED, before=before, seconds=300)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "the probe was here" in done.stdout
    assert "booting with /boot/vmlinuz-" in done.stdout
    assert not (root / "usr/lib/modules").exists()
    assert "left: " not in done.stdout


@pytest.mark.vm_all
@pytest.mark.timeout(3600)
def test_a_partition_boots_and_stays_as_it_was(partition: Path) -> None:
    before = _digest(partition)
    with looped(partition):
        done = vm("LABEL=allievmtest", *EMULATED, seconds=300)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "the probe was here" in done.stdout
    assert _digest(partition) == before
    assert "left: vm" not in done.stdout


@pytest.mark.vm_all
@pytest.mark.timeout(3600)
def test_what_a_kept_machine_writes_stays(partition: Path) -> None:
    with looped(partition):
        done = vm("LABEL=allievmtest", "--keep", *EMULATED, seconds=300)
    assert done.returncode == 0, done.stdout[-3000:]
    asked = ["debugfs", "-R", "stat /written", str(partition)]
    said = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert "Type: regular" in said.stdout, said.stderr


def test_a_directory_cannot_be_kept(tmp_path: Path, small: str) -> None:
    done = vm(small, "--keep", path=fake(tmp_path / "bin", 0))
    assert done.returncode == 2
    assert "only a partition that is not mounted can be kept" in done.stdout
    assert not (tmp_path / "bin/calls").exists()


def test_a_kept_partition_is_nobody_elses_meanwhile(tmp_path: Path, small: str) -> None:
    image = qemu.image_of(Path(small), tmp_path / "image", size="8M", label="allievmtest")
    with looped(image) as device:
        place = fake(tmp_path / "bin", 0)
        qemu_script = tmp_path / "bin/qemu-system-x86_64"
        tries = f"mount {device} /mnt && echo mounted || echo refused\n"
        qemu_script.write_text(qemu_script.read_text().replace("exit 0", tries + "exit 0"))
        done = vm("LABEL=allievmtest", "--keep", "--accel", "tcg", path=place)
    assert "refused" in done.stdout, done.stdout
    assert "snapshot=off" in (tmp_path / "bin/calls").read_text()


def _probe(root: Path, first: str = "true") -> None:
    """Have a root write a file and say so on its console at boot, then switch off."""
    qemu.run_at_boot(root, "")
    # There is no second console.
    says = f"{first} && echo > /written && echo the probe was here > /dev/ttyS0"
    (root / "usr/local/sbin/probe").write_text(f"#!/bin/sh\n{says}\n")


def _digest(path: Path) -> str:
    return subprocess.run(["sha256sum", path], capture_output=True, text=True).stdout.split()[0]
