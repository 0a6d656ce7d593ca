"""The programs of an image that run on the server are shut in: they reach nothing of it."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from allie.core.errors import StateError
from allie.machine.mounts import mount_call
from allie.machine.programs import process
from allie.server import store
from allie.server.media import installer
from tests import leftovers
from tests.worlds.busybox import busybox_root
from tests.worlds.toy import Dir, File, Link, Tree

pytestmark = [pytest.mark.root]
BOOT = Path(installer.__file__).parent / "initramfs/boot.sh"
_OWN = "/allie-installer"


def _store(tmp_path: Path, *lines: str, more: Tree | None = None) -> tuple[str, Path]:
    """A store with an image whose mkinitramfs does this, and where the installer is to be."""
    top = tmp_path / "store"
    store.init(str(top))
    mkinitramfs = "\n".join(["#!/bin/sh", *lines, ""])
    tree: Tree = {f"usr/local/sbin/{name}": File("#!/bin/sh\n", 0o755) for name in installer.NEEDED}
    own: Tree = {
        "usr/local/sbin/mkinitramfs": File(mkinitramfs, 0o755),
        "boot/vmlinuz-6.1": "kernel\n",
        "lib/modules/6.1/x": "",
    }
    busybox_root(top / "images/img", {**tree, **own, **(more or {})})
    return str(top), tmp_path / "out"


def _make(top: str, out: Path) -> str:
    """Make the installer; what its mkinitramfs wrote into the initrd."""
    installer.make(top, "img", str(out), "", with_iso=False)
    assert sorted(os.listdir(out)) == ["initrd", "vmlinuz"]
    return (out / "initrd").read_text(errors="replace")


def test_it_sees_nothing_of_the_server(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the server's own\n")
    top, out = _store(
        tmp_path,
        f"exec > {_OWN}/initrd 2>&1",
        "grep -E 'Cap(Eff|Bnd)|NoNewPrivs' /proc/self/status",
        f"cat {secret} /proc/1/root{secret} /../..{secret}; ls /cell",
        "chroot / true && echo chrooted",
        "mount -t tmpfs x /mnt && echo mounted; umount /proc && echo unmounted",
        "mknod /dev/disk b 7 0 && echo made; mknod /disk c 1 3 && echo made",
        "hostname pwned && echo named",
        "echo 1 >/proc/sys/kernel/panic && echo set; kill -0 1000000 2>/dev/null",
        f"ls /proc | grep -c '^[0-9]' | sed 's/^/processes /'; ls -di {_OWN}",
        "cat /proc/net/dev | grep -c : | sed 's/^/cards /'",
    )
    said = _make(top, out)
    for word in ("server's own", "chrooted", "mounted", "made", "named", "set"):
        assert word not in said.replace("unmounted", "mounted").splitlines(), said
    fields = dict(line.split(":\t") for line in said.splitlines() if ":\t" in line)
    assert int(fields["CapBnd"], 16) == int(fields["CapEff"], 16) == 0b11011
    assert fields["NoNewPrivs"] == "1"
    assert "cards 1" in said
    assert int(said.partition("processes ")[2].split()[0]) < 10


@pytest.mark.parametrize(
    "lines",
    [
        f"ln -s /etc/shadow {_OWN}/initrd",
        f"mkfifo {_OWN}/initrd",
        f"mkdir {_OWN}/initrd",
        "true",
        f"echo x >{_OWN}/initrd; exit 1",
    ],
)
def test_what_it_leaves_is_a_file_or_nothing(tmp_path: Path, lines: str) -> None:
    before = stat.S_IMODE(os.stat("/etc/shadow").st_mode)
    top, out = _store(tmp_path, lines)
    with pytest.raises(StateError, match="mkinitramfs"):
        installer.make(top, "img", str(out), "", with_iso=False)
    assert os.listdir(tmp_path) == ["store"]
    assert stat.S_IMODE(os.stat("/etc/shadow").st_mode) == before


def test_its_modes_and_owner_are_not_taken_over(tmp_path: Path) -> None:
    top, out = _store(
        tmp_path,
        f"echo x >{_OWN}/initrd; chown 1000 {_OWN}/initrd; chmod 6777 {_OWN}/initrd",
        f"ln {_OWN}/initrd {_OWN}/other; chmod 777 {_OWN}; sleep 1000 >/dev/null 2>&1 &",
    )
    _make(top, out)
    st = (out / "initrd").stat()
    assert (stat.S_IMODE(st.st_mode), st.st_uid, st.st_nlink) == (0o644, 0, 1)
    assert stat.S_IMODE(out.stat().st_mode) == 0o755
    assert not [each for each in leftovers.mounts_but_of(tmp_path / "no") if str(tmp_path) in each]


@pytest.mark.parametrize(
    "kernel", [Link("/etc/passwd"), Link("../../../../../../../../etc/passwd"), Dir()]
)
def test_a_kernel_is_a_file_of_the_image(tmp_path: Path, kernel: Link | Dir) -> None:
    top, out = _store(tmp_path, f"echo x >{_OWN}/initrd", more={"boot/vmlinuz-6.1": kernel})
    try:
        installer.make(top, "img", str(out), "", with_iso=False)
    except StateError:
        assert not out.exists()
        return
    # it is the image's own /etc/passwd, and not the server's
    assert (out / "vmlinuz").read_text() == (Path(top) / "images/img/etc/passwd").read_text()


def test_root_cannot_leave_what_it_is_shut_into(tmp_path: Path) -> None:
    """A chroot is left by root as here; a root by pivot_root(2) is not."""
    (tmp_path / "outside").write_text("the server's own\n")
    cell = tmp_path / "cell"
    cell.mkdir()
    read, write = os.pipe()

    def try_to_leave() -> int:
        mount_call.become_private()
        assert mount_call.mount("tmpfs", str(cell), "tmpfs", 0)
        mount_call.pivot(str(cell))
        os.mkdir("below")
        os.chroot("below")
        for _ in range(40):
            os.chdir("..")
        os.chroot(".")
        os.write(1, " ".join(os.listdir("/")).encode())
        return 0

    null = os.open(os.devnull, os.O_RDWR)
    pid = process.fork(try_to_leave, (null, write, 2))
    os.close(write)
    os.close(null)
    with os.fdopen(read, "rb") as said:
        assert said.read() == b"below"
    assert process.wait(pid) == 0


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("quiet allie.yes", "Enter tries again"),
        ("allie.yes panic=5", "panic=5 is left to initramfs-tools"),
        ("allie.shell allie.yes", "a shell"),
        ("allie.shell panic=5", "a shell"),
        ("allie.shellx", "Enter tries again"),
    ],
)
def test_the_installer_gives_a_shell_only_where_the_kernel_line_asks(
    tmp_path: Path, line: str, wanted: str
) -> None:
    """initramfs-tools' panic: with a number it reboots, without it starts a shell."""
    panic = """panic() {
        [ -n "$panic" ] && echo panic=$panic is left to initramfs-tools || echo a shell
    }"""
    # as initramfs-tools' init does it: our file of conf.d first, then the kernel line
    script = f"""
cat() {{ echo "$line"; }}
sleep() {{ :; }}
line=$1 panic=
{installer._NO_SHELL}
case " $line " in *" panic=5 "*) panic=5 ;; esac
echo at-start $panic
{panic}
. ./boot.sh
allie_failed "$line" 2>/dev/null
"""
    (tmp_path / "boot.sh").write_text(BOOT.read_text().replace("/dev/console", "/dev/null"))
    argv = ["sh", "-c", script, "sh", line]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert wanted in done.stdout
    asked = "allie.shell " in f"{line} "
    assert ("at-start\n" in done.stdout.replace("at-start \n", "at-start\n")) == (
        asked and "panic=" not in line
    )
    assert ("a shell" in done.stdout) == asked
