"""Run a script inside another root: in namespaces of its own, without power over the machine.

No mount or process of it is left when it ends; the base's files, processes and /run are out of its
sight: the root is its whole tree, of which there is no outside. What of /proc and /sys changes the
machine is read-only. It has root's powers within its system (`capabilities`), and others only where
its header asks for them. Shared with the base are the network, as the base has set it up, and
abstract sockets: docs/explanation/limits.md.

docs/internals/rules.md, "Another root's scripts see that root alone".
"""

from __future__ import annotations

import os
import select
import signal
import stat
import time
from _collections_abc import Collection, Mapping
from contextlib import suppress

from allie.core.errors import PathRefused, StateError
from allie.core.lean import all_now
from allie.core.system import STATE
from allie.machine import libc
from allie.machine.files import atomic, lock
from allie.machine.mounts import mount_call
from allie.machine.mounts.mount_call import BIND, NODEV, NOEXEC, NOSUID, RDONLY, REC, REMOUNT
from allie.machine.programs import capabilities, process, process_groups
from allie.machine.roots import paths, within

all_now()  # where we go there are modules, too, and none of them is ours
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_NAMESPACES = mount_call.NEWNS | mount_call.NEWPID | mount_call.NEWUTS | mount_call.NEWIPC
_DEVICES = (
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
)
_MACHINES = "acpi bus fs irq mtrr scsi sys sysrq-trigger".split()  # in /proc: root may write there
_DEVICE_LINKS = (
    ("ptmx", "pts/ptmx"),
    ("fd", "/proc/self/fd"),
    ("stdin", "fd/0"),
    ("stdout", "fd/1"),
    ("stderr", "fd/2"),
)
_RESOLV_CONF = "etc/resolv.conf"
_RESOLVED, _RESOLVEDS = (  # systemd-resolved, and its link (tmpfiles.d of systemd)
    "usr/lib/systemd/systemd-resolved",
    "../run/systemd/resolve/stub-resolv.conf",
)
_PTS = "newinstance,ptmxmode=0666,mode=0620,gid=5"  # 5 is the group tty; without it, tools complain


def execute(
    root: str, hostname: str, argv: list[str], env: dict[str, str], needs: Collection[str] = ()
) -> int:
    """In a forked child: run argv inside `root` and return its exit status.

    needs: what it may do beyond the ordinary, of core.script.POWERS.
    Raises StateError where the kernel does not let us (not root, no namespaces).
    """
    try:
        libc.call("unshare", _NAMESPACES)
    except OSError as error:
        message = f"cannot make namespaces for {root}: {error.strerror}"
        raise StateError(message, "scripts need root") from error
    if hostname:
        name = hostname.encode()
        with suppress(OSError):  # it is too long
            libc.call("sethostname", name, len(name))
    process.cut_loose()
    first = os.fork()  # the first process of the new pid namespace: with it all others end
    if first == 0:
        try:
            libc.call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL)
            inside = _close_all(env)
            _furnish(root, NODEV * ("mknod" not in needs))
            _go_into(root)
            env = _open_again(env, inside)
            capabilities.give_up(needs)
            script = os.fork()
            if script == 0:
                os._exit(process.execute(argv, env))
            os._exit(process_groups.be_init(script))
        except BaseException as error:
            os.write(2, f"allie: cannot enter {root}: {error}\n".encode(errors="replace"))
            os._exit(126)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a time-out's is for the script, not for us
    return process_groups.as_shell(process.wait(first))


def ask(
    root: str,
    argv: list[str],
    seconds: float = 20.0,
    most: int = 1 << 20,
    good: tuple[int, ...] = (0,),
) -> bytes:
    """What a program of another system prints, as far as it does so in time; b"" if it fails.

    good: the exit statuses that are no failure.
    """
    read, write = os.pipe()
    env = process.environment()
    pid = process.fork(lambda: execute(root, "", argv, env), (None, write, None))
    os.close(write)
    out = b""
    until = time.monotonic() + seconds
    poll = select.poll()
    poll.register(read, select.POLLIN)
    while len(out) < most and poll.poll(max(0.0, until - time.monotonic()) * 1000):
        piece = os.read(read, 65536)
        if not piece:
            break
        out += piece
    os.close(read)
    process_groups.end(pid)
    return out if process.wait(pid) in good else b""


def _close_all(env: Mapping[str, str]) -> tuple[int, int] | None:
    """Close all but standard input and output: from a directory of the base's `..` leads to its /.

    Returns which directory it was by which a script knows that it is in a tick
    (`machine.files.lock`), as device and inode.
    """
    number = env.get(lock.INHERITED, "")
    inside = None
    if number.isdigit():
        st = os.fstat(int(number))
        inside = st.st_dev, st.st_ino
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            with suppress(OSError):  # the listing's own
                os.close(int(name))
    return inside


def _open_again(env: Mapping[str, str], inside: tuple[int, int] | None) -> dict[str, str]:
    """Open the state directory as it is seen from here, under its number; else drop the variable.

    Links on the way are the system's own, and lead nowhere but within it.
    """
    found = dict(env)
    number = found.pop(lock.INHERITED, "")
    if inside is None:
        return found
    try:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        descriptor = os.open(f"/{STATE}", flags)
    except OSError:
        return found
    st = os.fstat(descriptor)
    if (st.st_dev, st.st_ino) == inside:
        os.dup2(descriptor, int(number))
        os.set_inheritable(int(number), True)
        found[lock.INHERITED] = number
    if descriptor != int(number) or lock.INHERITED not in found:
        os.close(descriptor)
    return found


def _go_into(root: str) -> None:
    """Make the root the top of all that there is to see; nothing leads back out, as of a chroot."""
    try:
        mount_call.pivot(root)
    except StateError:  # in an initramfs nothing can be pivoted
        mount_call.need(".", "/", "", mount_call.MOVE)
    os.chroot(".")
    os.chdir("/")


def _furnish(root: str, devices: int) -> None:
    """Mount what a script expects: /proc /sys /dev /run and the names of the network.

    devices: NODEV, or 0 for scripts that make device files.
    """
    mount_call.make_private()
    mount_call.need(root, root, "", BIND | REC)
    others = os.statvfs(root).f_flag & (RDONLY | NOEXEC)
    mount_call.mount("none", root, "", BIND | REMOUNT | others | devices)  # nosuid goes
    resolver = atomic.read_bytes(os.path.realpath("/etc/resolv.conf")) or b""
    where = resolv_conf(root)
    fresh = []  # directories in which nothing is the system's
    for name, kind, flags in (
        ("proc", "proc", NOSUID | NODEV | NOEXEC),
        ("sys", "sysfs", NOSUID | NODEV | NOEXEC | RDONLY),
        ("dev", "tmpfs", NOSUID | NOEXEC),
        ("run", "tmpfs", NOSUID | NODEV),
    ):
        descriptor = _mount_point(root, name)
        if descriptor is None:
            continue
        if mount_call.mount(kind, f"/proc/self/fd/{descriptor}", kind, flags):
            _finish(name, f"{root}/{name}")
            fresh.append(name)
        os.close(descriptor)
    if where and ("run" in fresh or not where.startswith("run/")):
        folder = next((each for each in ("run", "dev") if each in fresh), "")  # of before 2012: dev
        if folder:  # else the path could lead to the base's own /run
            _give_resolver(root, where, resolver, folder)


def _mount_point(root: str, name: str) -> int | None:
    """A real directory right below the root, kept open; None where there is none."""
    try:
        flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(f"{root}/{name}", flags)
    except OSError:
        return None


def _finish(name: str, at: str) -> None:
    if name == "proc":
        for locked in _MACHINES:
            path = f"{at}/{locked}"
            if os.path.lexists(path) and mount_call.mount(path, path, "", BIND):
                mount_call.mount("none", path, "", BIND | REMOUNT | RDONLY)
    elif name == "dev":
        for device, major, minor in _DEVICES:
            os.mknod(f"{at}/{device}", stat.S_IFCHR | 0o666, os.makedev(major, minor))
            os.chmod(f"{at}/{device}", 0o666)
        for directory, kind, options in (("pts", "devpts", _PTS), ("shm", "tmpfs", "mode=1777")):
            os.mkdir(f"{at}/{directory}")
            mount_call.mount(kind, f"{at}/{directory}", kind, NOSUID | NOEXEC, options)
        for link, target in _DEVICE_LINKS:
            os.symlink(target, f"{at}/{link}")
    elif name == "run":
        os.makedirs(f"{at}/allie")


def resolv_conf(root: str) -> str:
    """Where a system's /etc/resolv.conf leads, as a path in it; one that it lacks is made.

    The base's is shown there, and the kernel mounts over nothing that is not there. What is made is
    an empty file, which the system's own DHCP client or NetworkManager writes when it is booted; or
    the link of systemd-resolved, which is what a boot would make there. A link that leads nowhere
    is itself mounted over. "" if nothing can be.
    """
    try:
        real = paths.Inside(root).file(_RESOLV_CONF)
        if not real.startswith("run/") and not os.path.lexists(f"{root}/{real}"):
            _make_resolv_conf(root, real)
            real = paths.Inside(root).file(_RESOLV_CONF)
    except (PathRefused, OSError):  # read-only, say; or links in a circle
        real = ""
    # The root's /run will be a new one: what is to be there need not exist.
    if real.startswith("run/") or (real and os.path.isfile(f"{root}/{real}")):
        return real
    leads_nowhere = os.path.islink(f"{root}/{_RESOLV_CONF}") and not os.path.islink(f"{root}/etc")
    return _RESOLV_CONF if leads_nowhere else ""


def _make_resolv_conf(root: str, real: str) -> None:
    with paths.parent_descriptor(root, real) as (above, name):
        if real == _RESOLV_CONF and within.is_file(root, _RESOLVED):
            os.symlink(_RESOLVEDS, name, dir_fd=above)
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        made = os.open(name, flags, 0o644, dir_fd=above)
        os.fchmod(made, 0o644)
        os.close(made)


def _give_resolver(root: str, where: str, resolver: bytes, folder: str) -> None:
    """A copy of the base's resolv.conf: the root's scripts cannot write through to ours."""
    copy = f"{root}/{folder}/allie/resolv.conf"
    target = f"{root}/{where}" if where.startswith("run/") else copy
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "wb") as file:
        file.write(resolver)
    if target == copy and where != "run/allie/resolv.conf":
        descriptor = os.open(f"{root}/{where}", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        over = f"/proc/self/fd/{descriptor}"
        if mount_call.mount(copy, over, "", BIND):
            mount_call.mount("none", f"{root}/{where}", "", BIND | REMOUNT | RDONLY)
        os.close(descriptor)
