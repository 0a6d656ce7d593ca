"""`allie vm`: boot a system of this PC in QEMU, on a layer that is thrown away.

A partition is read through QEMU's own copy-on-write layer; only with `keep` is it written to, and
nobody can mount it meanwhile. A directory is first copied into the image of a file system. The
image, the console's record and the kernel's copy are files without a name, and QEMU dies with us:
however we end, nothing stays. The running system is never booted.
"""

from __future__ import annotations

import os
import signal
import time
from _collections_abc import Sequence
from contextlib import ExitStack

from allie.client.situation import bound_disks
from allie.client.use import enter
from allie.core.conf import system_roots
from allie.core.conf.settings import Declared
from allie.core.errors import StateError
from allie.core.value import Value
from allie.machine import console
from allie.machine.disk import file_systems, loop
from allie.machine.disk.file_systems import AS_SYSTEM, TO_READ
from allie.machine.files import atomic, lock, tree
from allie.machine.mounts import mount_table
from allie.machine.programs import process
from allie.machine.roots import kernels, open_system, paths, within

PROGRAM = "qemu-system-x86_64"
PACKAGES = "qemu-system-x86 (apt, pacman), qemu-system-x86-core (dnf) or qemu-x86 (zypper)"
PATIENCE = 20.0  # seconds without a word on the console, after which KVM is taken not to work
_SPARE = 1 << 30  # what the system may write on its throw-away copy
_SPARE_INODES = 100_000
_ENTRY = 4096 + 512  # bytes beside its content: an inode or two, a block that a small file fills
_SCRATCH = "/var/tmp"  # on a disk: the copy of a system is too large for memory
_COPY = 1 << 20
_MOUNT = "/run/allie/vm"  # seen by us alone
_MODULES = "/lib/modules"


class VirtualMachine(Value):
    """What is booted, and on what."""

    disk: str
    kernel: str
    initrd: str
    log: str  # where the console is recorded
    memory: int  # MiB
    cpus: int
    keep: bool = False  # what the machine writes on the disk stays


class FoundSystem(Value):
    """A system as it was found: a directory, or a partition that is not mounted."""

    root: str
    device: str


def argv(machine: VirtualMachine, accel: str) -> list[str]:
    """QEMU's command line: the serial console on this terminal, a network behind the host's."""
    cpu = "host" if accel == "kvm" else "qemu64"
    options = "root=/dev/vda rw fstab=no console=ttyS0"
    layer = "off" if machine.keep else "on"
    return [
        *(PROGRAM, "-accel", "kvm" if accel == "kvm" else "tcg,thread=multi", "-cpu", cpu),
        *("-m", str(machine.memory), "-smp", str(machine.cpus), "-display", "none", "-no-reboot"),
        *("-drive", f"file={machine.disk},format=raw,if=virtio,snapshot={layer}"),
        *("-nic", "user,model=virtio-net-pci", "-device", "virtio-rng-pci"),
        *("-chardev", f"stdio,id=term,mux=on,signal=off,logfile={machine.log}"),
        *("-serial", "chardev:term", "-mon", "chardev=term"),
        *("-kernel", machine.kernel, "-initrd", machine.initrd, "-append", options),
    ]


def boot(name: str, memory: int, cpus: int, accel: str, *, keep: bool = False) -> int:
    """Boot a system until it is switched off; QEMU's exit status. Raises AllieError.

    memory: MiB. accel: kvm, tcg or auto. keep: what it writes on its partition stays.
    """
    if not process.has_program(PROGRAM):
        raise StateError(f"{PROGRAM} is not installed", f"install {PACKAGES}")
    with ExitStack() as stack:
        source = find(name, stack)
        if keep and not source.device:
            raise StateError(
                f"{name} lives in {source.root}: only a partition that is not mounted can be kept",
                f"allie enter {name} --user root, to change it",
            )
        log, kernel, initrd = _nameless(), _nameless(), _nameless()
        files = [_disk(source, kernel, initrd, keep=keep), kernel, initrd, log]
        at = [f"/proc/self/fd/{each}" for each in files]
        disk = source.device or at[0]
        machine = VirtualMachine(disk, at[1], at[2], at[3], memory, cpus, keep)
        return _run(machine, files, accel)


def _disk(source: FoundSystem, kernel: int, initrd: int, *, keep: bool) -> int:
    """Open the disk that is booted, or make it; its kernel is copied to these two."""
    if source.root:
        return _copy(source.root, _take_kernel(source.root, kernel, initrd))
    with file_systems.passing(source.device, _MOUNT, TO_READ) as root:
        if _take_kernel(root, kernel, initrd):
            console.warn("without its modules, which only a copy of a directory can be given")
    return _hold(source.device) if keep else os.open(source.device, os.O_RDONLY | os.O_CLOEXEC)


def find(name: str, stack: ExitStack) -> FoundSystem:
    """Where a system is; a partition stays the same one as long as the stack is not left.

    Raises AllieError where there is none, or none that is this PC's own, or it is the running one.
    """
    try:
        root = enter.root_of(name)
    except StateError:  # not mounted
        text = atomic.read("/etc/allie/allie.conf") or ""
        where = system_roots.roots(text).get(name, "")
        declared = Declared(name, where)
        if not declared.is_partition:
            raise
        found = stack.enter_context(bound_disks.pinned(open_system.open_system(), declared))
        return FoundSystem("", found.device)
    if os.path.samefile("/", root):
        raise StateError(f"{name} is the system that runs now", "boot one of the others")
    below = mount_table.at_or_below(f"{root.rstrip('/')}/")
    if below and below != root:
        raise StateError(f"{below} is mounted inside {name}, and would be copied", "unmount it")
    return FoundSystem(root, "")


def _take_kernel(root: str, kernel: int, initrd: int) -> str:
    """Copy the system's kernel, or that of the running one, where its mount cannot go away.

    Returns the modules that come with it; "" for those that the system has.
    """
    own, running = kernels.found(root), os.uname().release
    found = own or sorted(kernels.found("/"), key=lambda each: each.release != running)
    if not found:
        raise StateError(f"neither {root}/boot nor /boot holds a kernel with its initramfs")
    chosen = found[0]
    for path, target in ((chosen.vmlinuz, kernel), (chosen.initrd, initrd)):
        with within.opened(root if own else "/", path) as source:
            while data := os.read(source, _COPY):
                os.write(target, data)
    if own:
        return ""
    console.warn(f"no kernel in {root}: booting with /{chosen.vmlinuz}")
    return f"{_MODULES}/{chosen.release}"


def _hold(device: str) -> int:
    """Open a partition to ourselves: as long as it is, the kernel lets nobody mount it."""
    try:
        return os.open(device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC)
    except OSError as error:
        raise StateError(f"{device} is in use: {error.strerror}", "wait for its tick") from error


def _nameless() -> int:
    """A file that nobody else sees and that goes with the last process that has it open."""
    flags = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
    return os.open(_SCRATCH, flags, 0o600)


def _copy(root: str, modules: str) -> int:
    """A nameless image of an ext4 file system with what is in `root`, and these modules."""
    if lock.is_running(open_system.open_system(root)):
        console.warn(f"{root}: its tick is at work; the copy may have half of what it does")
    trees = [root, modules] if os.path.isdir(modules) else [root]
    size, entries = _extent(trees)
    image = _nameless()
    os.ftruncate(image, size + size // 2 + _SPARE)
    console.say(f"copying {root} (nothing that the machine writes is kept)")
    # As many inodes as it needs: mkfs.ext4 would have one for each 16 KiB
    command = ["mkfs.ext4", "-q", "-F", "-N", str(entries * 2 + _SPARE_INODES), "-d", root]
    command.append(f"/proc/self/fd/{image}")
    process.run(command, keep=[image], check=True)
    if trees[1:]:
        _add_modules(image, modules)
    return image


def _extent(trees: Sequence[str]) -> tuple[int, int]:
    """How much room trees take on an ext4: (bytes, entries); there is no harm in too much."""
    size = entries = 0
    for top in trees:
        for path, _ in tree.listing(top):
            try:
                size += os.lstat(f"{top}/{path}").st_blocks * 512 + _ENTRY
            except OSError:
                continue  # gone meanwhile
            entries += 1
    return size, entries


def _add_modules(image: int, modules: str) -> None:
    """Copy modules to where the programs that load them look."""
    with loop.device(image) as device, file_systems.passing(device, _MOUNT, AS_SYSTEM) as at:
        inside = paths.Inside(at)
        target = inside.prefix + inside.directory(_MODULES.lstrip("/")).real
        os.makedirs(target, 0o755, exist_ok=True)
        process.run(["cp", "-a", modules, f"{target}/"], check=True)


def _run(machine: VirtualMachine, files: Sequence[int], accel: str) -> int:
    """Boot it; with `auto`, by KVM as long as the machine gets on with it."""
    console.say("console of the machine; to leave it: Ctrl-A X")
    first = accel
    if accel == "auto":
        first = "kvm" if os.access("/dev/kvm", os.R_OK | os.W_OK) else "tcg"
    code = _start(machine, files, first, watched=accel == "auto" and first == "kvm")
    if code is None:
        console.warn("no word from the machine under KVM: starting again with emulation")
        code = _start(machine, files, "tcg", watched=False)
    return code or 0


def _start(
    machine: VirtualMachine, files: Sequence[int], accel: str, *, watched: bool
) -> int | None:
    """Run QEMU to its end; None where it is watched and made no progress."""
    line, log = argv(machine, accel), files[-1]
    pid = process.fork(lambda: process.execute(line, process.environment()), (0, 1, 2), keep=files)
    code = None
    try:
        if watched:
            code = process.wait_until(pid, time.monotonic() + PATIENCE)
            if not os.fstat(log).st_size and code != 0:
                return None
        if code is None:
            code = process.wait(pid)
        return code
    finally:
        if code is None:
            os.kill(pid, signal.SIGKILL)
            process.wait(pid)
