"""Serve a store in the foreground: rsync's own daemon and, where asked, sshd beside it.

Each daemon is shut in, and neither serves without the other. systemd's allie-store.service is this,
too, for the rsync door.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress

from allie.core.errors import DONE, StateError, UsageError
from allie.machine.files import atomic
from allie.machine.namespaces.confined_daemon import SCRATCH, View
from allie.machine.programs import process, process_groups
from allie.machine.programs.capabilities import (
    DAC_READ_SEARCH,
    NET_BIND_SERVICE,
    SETGID,
    SETUID,
    SYS_CHROOT,
)
from allie.machine.transfer import listeners, rsync, rsync_daemon
from allie.server import store as stores
from allie.server import store_conf
from allie.server.doors import rsyncd_conf, sshd_conf
from allie.server.places import Places
from allie.server.serving import accounts, setup
from allie.server.store_conf import StoreConf

CONF = "rsyncd.conf"  # in the store: generated, for whoever wants to see what is served
LOCK = "rsyncd.lock"  # by which rsync counts connections
_CAPABILITIES = (DAC_READ_SEARCH, SYS_CHROOT, SETUID, SETGID)
_BEGINS = 5.0  # seconds
_RESERVED = 1024  # ports below it take a capability


def serve(
    store: str, address: str, port: int, began: Callable[[], None], ssh_port: int | None = None
) -> int:
    """Run the daemons until one ends, or somebody presses Ctrl-C; the exit status.

    ssh_port: where the ssh door is; None: without it. began: called once it serves. Of root's power
    a daemon has what it takes to read the store, it sees no other files, and no process of it
    outlives us.
    """
    store = stores.need(store)
    rules, places = store_conf.read(store), store_conf.places(store)
    setup.need_two(port, ssh_port)
    for each in (port, *(() if ssh_port is None else (ssh_port,))):
        rsync_daemon.need_port(address, each)
    daemons: dict[int, str] = {}
    try:
        main = _start_rsync(store, address, port, rules)
        daemons[main] = "rsync"
        if ssh_port is not None:
            daemons[_start_sshd(places, address, ssh_port, rules)] = "sshd"
        _wait_for(port)
        began()
        _tell_systemd()
        ended, code = rsync_daemon.attend(main, 2 * rules.connections, tuple(daemons))
    except KeyboardInterrupt:
        return DONE
    finally:
        for pid in daemons:
            process_groups.end(pid)
    raise StateError(f"{daemons[ended]} ended by itself, with status {code}", "see syslog")


def _wait_for(port: int) -> None:
    """Wait a little until the daemon listens, or longer than it ever takes if it never does."""
    until = time.monotonic() + _BEGINS
    while not listeners.is_taken(port) and time.monotonic() < until:
        time.sleep(0.01)


def _tell_systemd() -> None:
    """Say that we serve, where systemd waits for that (sd_notify(3))."""
    name = os.environ.get("NOTIFY_SOCKET", "")
    if name:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd, suppress(OSError):
            systemd.sendto(b"READY=1", name.replace("@", "\0", 1) if name[0] == "@" else name)


def _start_rsync(store: str, address: str, port: int, rules: StoreConf) -> int:
    """Start the rsync door; its process."""
    if "\n" in store or "#" in store:
        raise UsageError(f"{store!r} is no path that rsyncd.conf can name")
    program = process.program("rsync")
    if not program:
        raise rsync.no_rsync()
    path = f"{store}/{CONF}"
    atomic.write(path, rsyncd_conf.foreground(store, address, port, rules, f"{store}/{LOCK}"))
    view = None
    if os.geteuid() == 0:
        stores.close(store)
        text = rsyncd_conf.foreground(store, address, port, rules, f"{SCRATCH}/{LOCK}")
        modules = tuple(f"{store}/{module}" for module in stores.MODULES)
        view = View(program, modules, ((path, text),))
    argv = ["rsync", "--daemon", "--no-detach", f"--config={path}"]
    return rsync_daemon.start(argv, (None, 1, 2), _capabilities(port), view)


def _start_sshd(places: Places, address: str, port: int, rules: StoreConf) -> int:
    """Start the ssh door; its process. Raises StateError where it was not set up."""
    if os.geteuid() != 0:
        raise StateError("only root can open the ssh door", "run it as root, as with sudo")
    if not os.path.exists(places.host_key) or accounts.missing():
        raise StateError("the ssh door has no key or no accounts yet", "allie store setup")
    setup.need_plain(places)
    setup.need_directory(places)
    programs = setup.need_programs()
    for _ in setup.configurations(places, rules):
        pass
    modules = tuple(f"{places.store}/{name}" for name in (*stores.MODULES, "private"))
    view = View(
        programs.sshd,
        (*modules, places.etc),
        written=(f"{places.store}/inbox",),
        made=(sshd_conf.SEPARATED,),
    )
    argv = [programs.sshd, "-D", "-f", places.sshd, "-p", str(port)]
    argv += ["-o", f"ListenAddress={address}"] * bool(address)
    most = rsyncd_conf.REPORT_MOST
    return rsync_daemon.start(argv, (None, 1, 2), _capabilities(port), view, most)


def _capabilities(port: int) -> tuple[int, ...]:
    return (*_CAPABILITIES, *([NET_BIND_SERVICE] if port < _RESERVED else []))
