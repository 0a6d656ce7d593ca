"""Have the tick started at boot and every hour: by systemd's timers, else by cron.

The unit files themselves come with the kit; this only switches them on.
"""

from __future__ import annotations

import os

from allie.client.situation import gather_facts
from allie.core import digest
from allie.core.stubs import TIMERS, UNITS
from allie.core.system import System
from allie.machine.files import atomic
from allie.machine.programs import process
from allie.machine.roots import open_system, paths

_CRON = """\
# Written by `allie join`: ALLiE's tick, at boot and hourly at a minute of this host's own.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
@reboot root sleep 20; exec nice -n 10 /root/conf/run-conf
{minute} * * * * root exec nice -n 10 /root/conf/run-conf
"""
_SCRIPT = """\
#!/bin/sh
# Written by `allie join`: ALLiE's tick, after a pause, so that nothing waits for it.
setsid sh -c 'sleep {seconds}; exec nice -n 10 /root/conf/run-conf' </dev/null >/dev/null 2>&1 &
"""


def install(here: System, host: str) -> str:
    """Switch the ticks on; what was done, in words. Done again, it changes nothing.

    host: its name as the settings have it; "": its own.
    """
    inside = paths.Inside(here.root)
    if _has(inside, "usr/lib/systemd/systemd", "lib/systemd/systemd"):
        _link_units(inside)
        if open_system.runs_systemd(here):
            process.run(["systemctl", "daemon-reload"], check=True)
            # The boot's own would elapse at once, and get in the way of the tick that follows.
            process.run(["systemctl", "start", TIMERS[0]], check=True)
        return "systemd starts a tick at boot and every hour (allie.timer)"
    known = gather_facts.without_classes(here, host).host
    minute = int(digest.of(known.encode()), 16) % 60
    if inside.directory("etc/periodic/hourly").exists:  # Alpine, whose crond knows no cron.d
        return _install_scripts(inside, minute)
    if inside.directory("etc/cron.d").exists and _has(inside, "usr/sbin/cron", "usr/sbin/crond"):
        _write(inside, "etc/cron.d/allie", _CRON.format(minute=minute), 0o644)
        return (
            f"cron starts a tick at boot and at minute {minute} of every hour (/etc/cron.d/allie)"
        )
    return "neither systemd nor cron is here: start /root/conf/run-conf at boot and hourly yourself"


def is_on(here: System) -> bool:
    """Whether ticks of this system are started by themselves, as `install` has it done."""
    places = [f"{UNITS}/timers.target.wants/{TIMERS[0]}", "etc/cron.d/allie"]
    places += ["etc/periodic/hourly/allie"]
    return any(os.path.lexists(here.at(place)) for place in places)


def _install_scripts(inside: paths.Inside, minute: int) -> str:
    """For busybox's crond, and OpenRC's `local` service: it runs /etc/local.d/*.start at boot."""
    _write(inside, "etc/periodic/hourly/allie", _SCRIPT.format(seconds=minute * 60), 0o755)
    said = f"crond starts a tick {minute} minutes after every hour (/etc/periodic/hourly/allie)"
    services = []
    if inside.directory("etc/local.d").exists:
        _write(inside, "etc/local.d/allie.start", _SCRIPT.format(seconds=20), 0o755)
        said += ", OpenRC at boot (/etc/local.d/allie.start)"
        services = ["crond", "local"]
    else:
        said += "; nothing starts one at boot: start /root/conf/run-conf then yourself"
    levels = [f"{inside.prefix}etc/runlevels/{level}" for level in ("default", "boot", "sysinit")]
    for name in services:
        if not any(os.path.lexists(f"{level}/{name}") for level in levels):
            said += f"; the service {name} is off: `rc-update add {name} default`"
    return said


def _write(inside: paths.Inside, path: str, text: str, mode: int) -> None:
    """Write a file of our own, unless it says so already."""
    atomic.renew(inside.prefix + inside.entry(path), text, mode)


def _has(inside: paths.Inside, *programs: str) -> bool:
    """Whether the root has one of these programs itself.

    Their directories come with packages that can use them, and a link is one to busybox, whose
    crond knows no cron.d.
    """
    found = [inside.prefix + inside.entry(program) for program in programs]
    return any(os.path.isfile(path) and not os.path.islink(path) for path in found)


def _link_units(inside: paths.Inside) -> None:
    """As `systemctl enable` does, also for a root that is not running."""
    units = inside.prefix + inside.directory(UNITS).real
    wants = f"{units}/timers.target.wants"
    os.makedirs(wants, exist_ok=True)
    for name in TIMERS:
        if not os.path.lexists(f"{wants}/{name}"):
            os.symlink(f"/etc/systemd/system/{name}", f"{wants}/{name}")
