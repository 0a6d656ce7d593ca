"""A PC made of QEMU: started on disks, its serial consoles written to files, ended for certain.

By emulation only: /dev/kvm that opens is not yet a KVM that works (nested ones hang).
The host's loopback is 10.0.2.2 for the guest, so an rsync daemon on 127.0.0.1 serves it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.worlds.debian import debian_root

PACKAGES = (
    "dosfstools e2fsprogs fdisk grub-efi-amd64-bin grub-pc-bin initramfs-tools"
    " linux-image-cloud-amd64 mtools python3 rsync systemd systemd-boot systemd-sysv udev"
    " zstd"
).split()
# What takes a quarter of the room, and nobody reads or no guest has
_MODULES = (
    "drivers/comedi drivers/hid drivers/infiniband drivers/md drivers/target fs/btrfs fs/ceph"
    " fs/nfs fs/nfsd fs/smb fs/xfs net/ceph net/netfilter net/sched net/sctp net/sunrpc net/tipc"
).split()
UNUSED = [f"/usr/share/{each}/*" for each in ("doc", "locale", "man")]
UNUSED += [f"/lib/modules/*/kernel/{each}/*" for each in _MODULES]
HOST = "10.0.2.2"  # the host's loopback, as a guest sees it
SILENT_SECONDS = 240.0

# What only takes time in a boot that lasts a minute
MASKED = "systemd-timesyncd.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer"
NETWORK = "[Match]\nName=e*\n[Network]\nDHCP=ipv4\n"


class NotBooted(AssertionError):
    """The line that was waited for did not come; the console's end is in the message."""


class Guest:
    """One running QEMU. `console` is ttyS0, `results` ttyS1: a getty on the first eats output."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process = process
        self.console = folder / "console"
        self.results = folder / "results"
        self._errors = folder / "errors"

    def wait_for(self, text: str, seconds: float = SILENT_SECONDS, *, results: bool = False) -> str:
        """Wait until the console (or ttyS1) says so; all that it has said.

        seconds: of silence, after which it is given up. A boot that goes on saying something is not
        late, however busy the machine is.
        """
        path = self.results if results else self.console
        silence = self._silence()
        while text not in (said := _read(path)):
            ended = self.process.poll() is not None
            if (ended and _read(path) == said) or next(silence) > seconds:
                how = f"QEMU ended ({self.process.returncode})" if ended else f"{seconds:.0f} s"
                raise NotBooted(f"no {text!r} after {how} of silence:\n{self._end()}")
            time.sleep(0.2)
        return said

    def wait(self, seconds: float = SILENT_SECONDS) -> None:
        """Wait until it has switched itself off; seconds: of silence."""
        silence = self._silence()
        while self.process.poll() is None:
            if next(silence) > seconds:
                raise NotBooted(f"still running after {seconds:.0f} s of silence:\n{self._end()}")
            time.sleep(0.2)

    def _silence(self) -> Iterator[float]:
        """How many seconds it has said nothing."""
        size, since = -1, time.monotonic()
        while True:
            now = sum(each.stat().st_size for each in (self.console, self.results))
            if now != size:
                size, since = now, time.monotonic()
            yield time.monotonic() - since

    def _end(self) -> str:
        consoles = f"{_read(self.console)[-3000:]}\nttyS1: {_read(self.results)[-3000:]}"
        return f"{consoles}\n{_read(self._errors)}"

    def pull_the_plug(self) -> None:
        """End it at this instant, as a power cut does; what it wrote to its disks stays."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


def _read(path: Path) -> str:
    return path.read_text(errors="replace")


@contextmanager
def guest(folder: Path, more: Sequence[str], *, memory: int = 768) -> Iterator[Guest]:
    """A QEMU with these further arguments (disks, -kernel, -bios); killed at the end.

    folder: where its consoles' files go; made if it is not there. It has one CPU: emulated ones
    that wait for each other cost a quarter more, where two machines run at once.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("console", "results"):
        (folder / name).write_bytes(b"")
    with (folder / "errors").open("wb") as errors:
        process = subprocess.Popen(
            [*argv(folder, memory), *more],
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
        )
    machine = Guest(process, folder)
    try:
        yield machine
    finally:
        machine.pull_the_plug()


def argv(folder: Path, memory: int) -> list[str]:
    """What every QEMU of the tests is started with."""
    line = ["qemu-system-x86_64", "-accel", "tcg,thread=multi,tb-size=256", "-cpu", "qemu64"]
    line += ["-m", str(memory), "-display", "none", "-monitor", "none"]
    line += ["-no-reboot", "-serial", f"file:{folder}/console", "-serial", f"file:{folder}/results"]
    line += ["-nic", "user,model=virtio-net-pci", "-device", "virtio-rng-pci"]
    return line


def disk(path: Path, *, snapshot: bool = False) -> list[str]:
    """The arguments that make a file or device a disk: vda the first, and so on."""
    throw_away = ",snapshot=on" if snapshot else ""
    return ["-drive", f"file={path},format=raw,if=virtio,cache=unsafe{throw_away}"]


def kernel(root: Path, options: str) -> list[str]:
    """The arguments that boot the kernel of this Debian root at once, with no boot loader."""
    vmlinuz = max((root / "boot").glob("vmlinuz-*"))
    initrd = vmlinuz.with_name(vmlinuz.name.replace("vmlinuz", "initrd.img"))
    line = ["-kernel", str(vmlinuz), "-initrd", str(initrd)]
    return [*line, "-append", f"console=ttyS0 {options}"]


def firmware() -> Path:
    """UEFI for `-bios`: one file with code and variables, which are forgotten at the end."""
    return Path("/usr/share/ovmf/OVMF.fd")


def flash(variables: Path) -> list[str]:
    """The arguments for UEFI that keeps its variables in this file, from one start to the next."""
    code, fresh = Path("/usr/share/OVMF/OVMF_CODE_4M.fd"), Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
    if not code.exists():  # before Debian 12
        code, fresh = (each.with_name(each.name.replace("_4M", "")) for each in (code, fresh))
    if not variables.exists():
        shutil.copyfile(fresh, variables)
    pair = (f"readonly=on,file={code}", f"file={variables}")
    return [word for each in pair for word in ("-drive", f"if=pflash,format=raw,{each}")]


def bootable_root(dest: Path) -> Path:
    """A Debian bookworm at `dest` (must not exist) that boots to a login on ttyS0. Needs root.

    root has no password. The network comes up by DHCP; the host is HOST.
    """
    debian_root("bookworm", dest, PACKAGES, UNUSED)
    etc = dest / "etc"
    (etc / "hostname").write_text("guest\n")
    (etc / "fstab").write_text("")
    passwd = etc / "shadow"
    passwd.write_text(passwd.read_text().replace("root:*:", "root::", 1))
    (etc / "systemd/network/10-all.network").write_text(NETWORK)
    units = etc / "systemd/system"
    (units / "multi-user.target.wants").mkdir(parents=True, exist_ok=True)
    (units / "multi-user.target.wants/systemd-networkd.service").symlink_to(
        "/lib/systemd/system/systemd-networkd.service"
    )
    (units / "network-online.target.wants").mkdir()
    (units / "network-online.target.wants/systemd-networkd-wait-online.service").symlink_to(
        "/lib/systemd/system/systemd-networkd-wait-online.service"
    )
    for name in MASKED.split():
        (units / name).unlink(missing_ok=True)
        (units / name).symlink_to("/dev/null")
    return dest


def image_of(root: Path, path: Path, *, size: str = "1500M", label: str = "") -> Path:
    """An ext4 file system at `path` with what stands in `root`; mounts nothing."""
    with path.open("wb") as file:
        file.truncate(0)
    named = ["-L", label] if label else []
    subprocess.run(["mkfs.ext4", "-q", "-F", *named, "-d", str(root), str(path), size], check=True)
    return path


def run_at_boot(root: Path, script: str) -> None:
    """Have a root run `script` at boot after the network, its output on ttyS1, then switch off."""
    program = root / "usr/local/sbin/probe"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f"#!/bin/sh\nexec >/dev/ttyS1 2>&1\n{script}\n")
    os.chmod(program, 0o755)
    unit = root / "etc/systemd/system/probe.service"
    unit.write_text(
        "[Unit]\nWants=network-online.target\nAfter=network-online.target\n"
        "[Service]\nType=oneshot\nExecStart=/usr/local/sbin/probe\n"
        "ExecStopPost=/bin/systemctl --no-block poweroff\n"
    )
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    (wants / "probe.service").symlink_to("../probe.service")
