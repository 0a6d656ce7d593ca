"""Make an installer of an image: a kernel and initramfs that boot to `allie install`, and an ISO.

The image's own mkinitramfs makes the initramfs, in a layer above the image (a copy of it, where the
kernel has no overlayfs for this disk), which goes afterwards: the image is never written to. It is
a program of the image, run as root on the server: so it sees the layer and nothing of the server,
has no network, and of root's capabilities those to make files. The result is a directory of its
own, made beside, complete or absent:

    vmlinuz  initrd      for PXE, or `qemu -kernel`
    installer.iso        for a CD or a USB stick, BIOS and UEFI (`iso`)
"""

from __future__ import annotations

import os
import re
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

from allie.core.errors import Busy, StateError, UsageError
from allie.core.value import Value
from allie.machine import libc
from allie.machine.files import atomic, lock, tree
from allie.machine.mounts import mount_call
from allie.machine.mounts.mount_call import BIND, NEWIPC, NEWNET, NODEV, NOSUID, REMOUNT
from allie.machine.namespaces import sealed_run
from allie.machine.programs import capabilities, process
from allie.machine.roots import kernels, within
from allie.machine.transfer import image_fetch, rsync
from allie.machine.transfer.image_fetch import Transfer
from allie.server import kit
from allie.server.images import catalogue
from allie.server.media import iso

FILES = ("vmlinuz", "initrd", iso.NAME)
_OWN = "allie-installer"  # our directory in the layer
_TEXTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "initramfs")

# What must be in the image, and the package of Debian that has it.
NEEDED = {
    "mkinitramfs": "initramfs-tools",
    "python3": "python3",
    "rsync": "rsync",
    "udevadm": "udev",
    "sfdisk": "fdisk",
    "mkfs.ext4": "e2fsprogs",
    "mkfs.vfat": "dosfstools",
    "blkid": "util-linux",
    "mount": "mount",
}
# What goes along where the image has it: for `allie install`, and for a person in the shell.
PROGRAMS = (
    "rsync ssh ssh-keygen ip ping sync date hostname uname sleep env ps dmesg"
    " sfdisk partx blockdev blkid lsblk wipefs mkswap losetup udevadm"  # disks
    " mkfs.ext4 mkfs.xfs mkfs.btrfs mkfs.vfat fsck.ext4 e2label fsck.vfat mcopy mmd mdir"
    " mount umount mountpoint findmnt swapon swapoff chroot setsid unshare efibootmgr"
    " ls cat cp mv rm mkdir chmod ln dd df grep sed head tail less vi nano"  # files
)
_CONFIGURATION = """\
MODULES=most
BUSYBOX=auto
KEYMAP=n
COMPRESS=gzip
DEVICE=
NFSROOT=auto
RUNSIZE=10%
FSTYPE=auto
BOOT=allie
"""
# Read at each start: initramfs-tools would give whoever stands there a root shell where it fails
_NO_SHELL = """\
case " $(cat /proc/cmdline) " in
*" allie.shell "*) ;;
*) panic=60 ;;
esac
"""
_CELL = "/cell"  # where the layer is, in the tree that the image's program is shut into
_LONGEST_FILE = 4 << 30  # bytes
# What making an initramfs takes: files of any owner are copied, with their modes
_KEPT = (capabilities.CHOWN, capabilities.DAC_OVERRIDE, capabilities.FOWNER, capabilities.FSETID)
_SAID = 1 << 16  # bytes of what it said that are looked at


class Made(Value):
    """An installer that was made."""

    directory: str
    release: str  # the kernel's
    sizes: tuple[tuple[str, int], ...]  # file, bytes


def make(store: str, name: str, out: str, append: str, *, plan: str = "", with_iso: bool) -> Made:
    """Make the installer of an image in the directory `out`; "": in the store's installers/.

    append: words for the ISO's kernel line. plan: the text of its PCs' layout; "": the usual one.
    Raises StateError with what is missing, and where.
    """
    image = catalogue.need(store, name)
    release = _release(image, name)
    need_programs(image, name)
    if with_iso:
        iso.need_programs()
    target = os.path.abspath(out or f"{store}/installers/{name}")
    _need_ours(target)
    with _beside(target) as work:
        os.mkdir(f"{work}/new", 0o755)
        os.mkdir(f"{work}/made", 0o755)
        if plan:
            atomic.write(f"{work}/made/layout", plan, durable=False)
        _make_initramfs(image, release, f"ALLIE_FROM={name}\n", work)
        _take(image, f"boot/vmlinuz-{release}", f"{work}/new/vmlinuz")
        _take(f"{work}/made", "initrd", f"{work}/new/initrd")
        if with_iso:
            iso.make(f"{work}/new", f"{work}/iso", name, append)
        os.chmod(f"{work}/new", 0o755)
        for each in os.listdir(f"{work}/new"):
            os.chmod(f"{work}/new/{each}", 0o644)  # a web or TFTP server reads it
        _put(f"{work}/new", target)
    sizes = [(each, os.path.getsize(f"{target}/{each}")) for each in sorted(os.listdir(target))]
    return Made(target, release, tuple(sizes))


def lacking(there: set[str]) -> list[str]:
    """The packages that an image with these programs lacks, sorted."""
    return sorted({package for program, package in NEEDED.items() if program not in there})


def need_programs(image: str, name: str) -> None:
    """Raise StateError where the image lacks what an installer is made of."""
    there = {each for each in NEEDED if within.program(image, each)}
    packages = lacking(there)
    if packages:
        hint = f"install in it: {' '.join(packages)}"
        if "mkinitramfs" not in there:
            hint += "; or use an image of Debian or Ubuntu: its installer installs any image"
        raise StateError(f"image {name} lacks what an installer needs", hint)


def _release(image: str, name: str) -> str:
    """The newest kernel that the image has with its modules."""
    for release in kernels.releases(image):
        kernel, modules = f"boot/vmlinuz-{release}", f"lib/modules/{release}"
        if within.is_file(image, kernel) and within.status(image, modules):
            return release
    raise StateError(
        f"image {name} has no kernel (boot/vmlinuz-* with its lib/modules)",
        "install in it: linux-image-amd64; linux-image-cloud-amd64 is for virtual machines",
    )


def _take(top: str, path: str, target: str) -> None:
    """Copy a regular file that the image, or its program, made: nothing else goes to the PCs."""
    try:
        with within.opened(top, path) as source, open(target, "xb") as to:
            while piece := os.read(source, 1 << 20):
                to.write(piece)
    except OSError as error:
        raise StateError(f"cannot copy {top}/{path}: {error.strerror}") from error


def _make_initramfs(image: str, release: str, made: str, work: str) -> None:
    """Leave made/initrd in the work directory."""
    configuration = f"{work}/made/conf"
    _write_configuration(configuration)
    atomic.write(f"{work}/made/allie", kit.archive(), 0o755, durable=False)
    made += f"ALLIE_MADE={int(time.time())}\n"
    atomic.write(f"{work}/made/made", made, durable=False)
    argv = ["mkinitramfs", "-d", f"/{_OWN}/conf", "-o", f"/{_OWN}/initrd", release]
    log = f"{work}/log"
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    pid = process.fork(lambda: _inside(image, work, argv), (None, out, out))
    os.close(out)
    code = process.wait(pid)
    if code != 0 or not within.is_file(f"{work}/made", "initrd"):
        said = [line for line in _end_of(log).splitlines() if line.strip()]
        words = "; ".join(said[-3:]) or f"exit {code}"
        raise StateError(f"mkinitramfs of {image} failed: {words}", "see that it works there")


def _end_of(log: str) -> str:
    with open(log, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _SAID))
        return file.read(_SAID).decode(errors="replace")


def _write_configuration(at: str) -> None:
    """A configuration directory for mkinitramfs, the image's own being one machine's."""
    for below in ("hooks", "conf.d", "scripts"):
        os.makedirs(f"{at}/{below}", exist_ok=True)
    hook = (atomic.read(f"{_TEXTS}/hook.sh") or "").replace("PROGRAMS", PROGRAMS, 1)
    boot = atomic.read(f"{_TEXTS}/boot.sh") or ""
    for path, text, mode in (
        ("initramfs.conf", _CONFIGURATION, 0o644),
        ("update-initramfs.conf", "", 0o644),
        ("modules", "", 0o644),
        ("conf.d/allie", _NO_SHELL, 0o644),
        ("hooks/allie", hook, 0o755),
        ("scripts/allie", boot, 0o644),
    ):
        atomic.write(f"{at}/{path}", text, mode, durable=False)


def _inside(image: str, work: str, argv: list[str]) -> int:
    """In a forked child: run argv in a throw-away layer above the image, shut away from the rest.

    The layer is one of two directories of a new, empty `/`; the server's own is gone by then.
    """
    mount_call.become_private()
    libc.call("unshare", NEWNET | NEWIPC)
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LONGEST_FILE, _LONGEST_FILE))
    for each in ("root", "upper", "layer", "cell"):
        os.mkdir(f"{work}/{each}", 0o755)
    cell, root = f"{work}/cell", f"{work}/cell{_CELL}"
    mount_call.need("tmpfs", cell, "tmpfs", NOSUID | NODEV, "mode=755")
    for each in (root, f"{cell}/proc"):
        os.mkdir(each, 0o755)
    options = f"lowerdir={_plain(image)},upperdir={work}/upper,workdir={work}/layer"
    if not mount_call.mount("overlay", root, "overlay", NOSUID | NODEV, options):
        able = rsync.version(f"{work}/rsync")
        argv = image_fetch.command(Transfer(able, [], image, f"{work}/root"))
        process.run(argv, check=True)
        mount_call.need(f"{work}/root", root, "", BIND)
        mount_call.need("none", root, "", BIND | REMOUNT | NOSUID | NODEV)
    within.remove(root, _OWN)
    os.mkdir(f"{root}/{_OWN}", 0o755)
    mount_call.need(f"{work}/made", f"{root}/{_OWN}", "", BIND)
    mount_call.need("/proc", f"{cell}/proc", "", BIND)
    mount_call.pivot(cell)
    environment = {"PATH": process.PATH, "LANG": "C.UTF-8", "HOME": "/root", "TMPDIR": "/var/tmp"}
    capabilities.keep_only(*_KEPT)
    os.umask(0o022)
    return sealed_run.execute(_CELL, "", argv, environment)


def _plain(path: str) -> str:
    r"""A path as an option of overlayfs takes it: `,` and `:` with a `\` before."""
    return re.sub(r"([\\:,])", r"\\\1", path)


def _need_ours(target: str) -> None:
    """Raise UsageError where something else stands at the target."""
    if not os.path.lexists(target):
        return
    if not os.path.isdir(target) or os.path.islink(target) or set(os.listdir(target)) - set(FILES):
        raise UsageError(f"{target} is no installer of ours", "--out a directory that is not there")


@contextmanager
def _beside(target: str) -> Iterator[str]:
    """A work directory beside the target, which nobody else uses, and which goes."""
    above, name = os.path.split(target)
    os.makedirs(above, exist_ok=True)
    work = f"{above}/.{name}.part"
    os.makedirs(work, 0o700, exist_ok=True)
    busy = Busy(f"somebody else is making {target}", "wait until that has ended")
    with lock.of_directory(work, lambda: busy, os.O_NOFOLLOW):
        try:
            for each in os.listdir(work):
                tree.remove(f"{work}/{each}")
            yield work
        finally:
            tree.remove(work)


def _put(new: str, target: str) -> None:
    """Make the new directory the target, once it is on the disk."""
    atomic.sync_filesystem(new)
    if os.path.lexists(target):
        atomic.swap(target, new, f"{new}.old")
    else:
        os.rename(new, target)
        atomic.sync_directory(os.path.dirname(target))
