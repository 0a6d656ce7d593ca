"""Have the tick started at boot and every hour: by systemd's timers, else by cron.

The unit files themselves come with the kit; this only switches them on.
"""

from __future__ import annotations

import os
from hashlib import sha256

from allie.core.system import System
from allie.machine import atomic, paths, process

TIMERS = ("allie.timer", "allie-boot.timer")
_CRON = """\
# Written by `allie join`: ALLiE's tick, at boot and hourly at a minute of this host's own.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
@reboot root sleep 20; exec nice -n 10 /root/conf/run-conf
{minute} * * * * root exec nice -n 10 /root/conf/run-conf
"""


def install(here: System, host: str) -> str:
    """Switch the ticks on; what was done, in words. Done again, it changes nothing."""
    inside = paths.Inside(here.root)
    if inside.directory("usr/lib/systemd/system").exists:
        _link_units(inside)
        if here.is_base and os.path.isdir("/run/systemd/system"):
            process.run(["systemctl", "daemon-reload"], check=True)
            process.run(["systemctl", "start", *TIMERS], check=True)
        return "systemd starts a tick at boot and every hour (allie.timer)"
    if inside.directory("etc/cron.d").exists or process.has_program("crond"):
        minute = int(sha256(host.encode()).hexdigest(), 16) % 60
        directory = inside.prefix + inside.directory("etc/cron.d").real
        os.makedirs(directory, exist_ok=True)
        atomic.write(f"{directory}/allie", _CRON.format(minute=minute))
        return (
            f"cron starts a tick at boot and at minute {minute} of every hour (/etc/cron.d/allie)"
        )
    hourly = inside.directory("etc/periodic/hourly")
    if hourly.exists:
        atomic.point(f"{inside.prefix}{hourly.real}/allie", "/root/conf/run-conf")
        return "crond starts a tick every hour (/etc/periodic/hourly/allie)"
    return "neither systemd nor cron is here: start /root/conf/run-conf at boot and hourly yourself"


def _link_units(inside: paths.Inside) -> None:
    """As `systemctl enable` does, also for a root that is not running."""
    units = inside.prefix + inside.directory("etc/systemd/system").real
    wants = f"{units}/timers.target.wants"
    os.makedirs(wants, exist_ok=True)
    for name in TIMERS:
        if not os.path.lexists(f"{wants}/{name}"):
            os.symlink(f"/etc/systemd/system/{name}", f"{wants}/{name}")
