"""Offer a system for one capture: a temporary rsync daemon, read-only, that ends by itself.

On the golden PC. The other end is `allie image capture` on the server; `core.image.offering` has
what the two agreed on. All that the offer mounts and writes is in a mount namespace of its own, and
so gone with it, however it ends; so are the daemon and whoever it answers.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time
from _collections_abc import Iterator
from contextlib import contextmanager

from allie.core.errors import StateError, UsageError
from allie.core.image import offering
from allie.core.value import Value
from allie.machine.disk import mounts_and_swap
from allie.machine.files import atomic
from allie.machine.mounts import mount_call, mount_table
from allie.machine.programs import process, process_groups
from allie.machine.programs.capabilities import (
    DAC_READ_SEARCH,
    NET_BIND_SERVICE,
    SETGID,
    SETUID,
    SYS_ADMIN,
    SYS_CHROOT,
)
from allie.machine.transfer import rsync_daemon
from allie.machine.transfer.rsync_daemon import Callers

_RUN = "/run/allie"
_LOOK = 0.2  # seconds between two looks for the capture's end
_START = 10.0  # seconds
_MESSAGE = 200  # characters of the capture's own words
# SYS_ADMIN: without it nobody can read attributes of the kind trusted.*
_CAPABILITIES = (DAC_READ_SEARCH, SYS_CHROOT, SETUID, SETGID, SYS_ADMIN, NET_BIND_SERVICE)


class OpenOffer(Value):
    """An offer that waits for its capture."""

    top: str  # the root that is offered
    work: str
    pid: int  # the daemon
    command: str  # to type on the server
    other_disks: tuple[str, ...]  # not offered


@contextmanager
def open_offer(what: str, hosts: str, port: int) -> Iterator[OpenOffer]:
    """Mount what is offered, if it is a device, and start the daemon; undone at the end."""
    if not process.has_program("rsync"):
        raise UsageError("rsync is not installed", "install the package rsync")
    rsync_daemon.need_port("", port)
    if any(sign in what + hosts for sign in "\n#"):
        raise UsageError(f"{what!r} is no path that rsyncd.conf can name")
    mount_call.become_private()
    work = _workplace()
    try:
        yield from _served(_mounted(what, work), work, hosts, port)
    finally:
        process.run(["umount", "--recursive", work])
        os.rmdir(work)


def wait(offer: OpenOffer) -> str:
    """Wait for the capture; who took it, in its own words."""
    callers = Callers(offer.pid, 2 * offering.CONNECTIONS)
    message = f"{offer.work}/{offering.MAILBOX}/{offering.MESSAGE}"
    while process.wait_until(offer.pid, time.monotonic() + _LOOK) is None:
        said = atomic.read(message)
        if said is not None:
            return f"{' '.join(said.split())[:_MESSAGE]}, {_sent(offer.work):,} bytes sent"
        callers.look()
    raise StateError(f"the rsync daemon ended: {_last_words(offer.work)}")


def _served(top: str, work: str, hosts: str, port: int) -> Iterator[OpenOffer]:
    """Have the daemon run while the offer is open."""
    secret = os.urandom(12).hex()
    os.mkdir(f"{work}/{offering.MAILBOX}", 0o700)
    os.mkdir(f"{work}/{offering.ABOUT}", 0o700)
    machine = json.dumps(mounts_and_swap.here(top)._asdict())
    atomic.write(f"{work}/{offering.ABOUT}/{offering.MACHINE}", machine, durable=False)
    conf = f"{work}/rsyncd.conf"
    atomic.write(f"{work}/secrets", f"{offering.USER}:{secret}\n", 0o600, durable=False)
    text = offering.configuration(top, work, port, hosts)
    atomic.write(conf, text, 0o600, durable=False)
    argv = ["rsync", "--daemon", "--no-detach", f"--config={conf}"]
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    pid = rsync_daemon.start(argv, (null, null, null), _CAPABILITIES, None)
    os.close(null)
    try:
        _need_start(pid, work)
        command = offering.command(os.uname().nodename, port, secret)
        disks = sorted(mount_table.other_disks(mount_table.points(), top))
        yield OpenOffer(top, work, pid, command, tuple(disks))
    finally:
        process_groups.end(pid)
        try:
            process.wait(pid)
        except ChildProcessError:
            pass  # it had ended by itself


def _workplace() -> str:
    """A directory of the offer's own, in memory, that nobody else sees."""
    os.makedirs(_RUN, exist_ok=True)
    for name in os.listdir(_RUN):  # empty ones, of offers that were killed
        pid = name.partition("offer-")[2]
        if pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
            os.rmdir(f"{_RUN}/{name}")
    work = f"{_RUN}/offer-{os.getpid()}"
    os.mkdir(work, 0o700)
    options = "mode=0700,size=4m,nosuid,nodev,noexec"
    done = process.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", work])
    if done.code != 0:
        os.rmdir(work)
        raise StateError(f"cannot mount a tmpfs on {work}: {done.last_words()}", "run this as root")
    return work


def _need_start(pid: int, work: str) -> None:
    """Wait until the daemon listens: it writes its pid file then."""
    until = time.monotonic() + _START
    while time.monotonic() < until:
        if process.wait_until(pid, time.monotonic() + 0.05) is not None:
            break
        if os.path.exists(f"{work}/pid"):
            return
    raise StateError(f"the rsync daemon does not start: {_last_words(work)}", "--port N")


def _sent(work: str) -> int:
    """The bytes that the daemon says it has sent."""
    log = atomic.read(f"{work}/log") or ""
    return sum(int(number) for number in re.findall(r"\bsent (\d+) bytes", log))


def _last_words(work: str) -> str:
    lines = (atomic.read(f"{work}/log") or "it left no log").splitlines()
    said = [line for line in lines if "error" not in line.lower().partition("(code")[0]]
    return (said or lines)[-1]


def _mounted(what: str, work: str) -> str:
    """The directory that is offered; a device is mounted read-only."""
    try:
        mode = os.stat(what).st_mode
    except OSError as error:
        raise UsageError(f"{what}: {error.strerror}", "name a device or a directory") from error
    if stat.S_ISDIR(mode):
        return os.path.realpath(what)
    if not stat.S_ISBLK(mode):
        raise UsageError(f"{what} is neither a device nor a directory")
    top = f"{work}/root"
    os.mkdir(top)
    done = process.run(["mount", "-i", "-o", "ro,nosuid,nodev,noexec", what, top])
    if done.code != 0:
        hint = "if it is mounted already, offer the directory where it is"
        raise StateError(f"cannot mount {what}: {done.last_words()}", hint)
    return top
