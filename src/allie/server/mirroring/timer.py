"""Have systemd keep a mirror current: a service that mirrors once, and a timer that starts it."""

from __future__ import annotations

import os
import re

from allie.core.errors import UsageError
from allie.machine.files import atomic
from allie.machine.programs import process
from allie.server.serving import setup

EVERY = "15min"
UNITS = "/etc/systemd/system"
_SERVICE, _TIMER = "allie-mirror.service", "allie-mirror.timer"
_SPAN = r"([1-9][0-9]{0,4}(s|sec|m|min|h|hours?|d|days?))+"  # systemd.time(7), the plain part of it
_SERVICE_TEXT = """\
# Written by `allie store mirror --timer`; `allie store mirror --remove` removes it.
[Unit]
Description=Keep {store} equal to {source}
Wants=network-online.target
After=network-online.target
RequiresMountsFor="{store}"

[Service]
Type=oneshot
Nice=10
IOSchedulingClass=idle
SuccessExitStatus=75
ExecStart={command}
"""
_TIMER_TEXT = """\
# Written by `allie store mirror --timer`; `allie store mirror --remove` removes it.
[Unit]
Description=Keep {store} equal to {source}

[Timer]
OnBootSec=2min
OnUnitInactiveSec={every}
RandomizedDelaySec=1min

[Install]
WantedBy=timers.target
"""


def texts(source: str, store: str, bandwidth: str, every: str) -> dict[str, str]:
    """The units' text by file name. Raises UsageError for what systemd would not understand."""
    if not re.fullmatch(_SPAN, every):
        raise UsageError(f"--every {every}: that is no time", "15min, 1h, 2h30min")
    words = [setup.own_program(), "store", "mirror", source, "--store", store]
    words += ["--bwlimit", bandwidth] if bandwidth else []
    command = " ".join(map(_quoted, words))
    said = {"source": _plain(source), "store": _plain(store), "every": every, "command": command}
    return {_SERVICE: _SERVICE_TEXT.format(**said), _TIMER: _TIMER_TEXT.format(**said)}


def install(source: str, store: str, bandwidth: str, every: str) -> list[str]:
    """Write the units and start the timer; the files that were written, or differed."""
    units = texts(source, os.path.realpath(store), bandwidth, every)
    if not process.has_program("systemctl"):
        again = f"allie store mirror {source} --store {store}"
        raise UsageError("there is no systemd here", f"have cron run: {again}")
    written = []
    for name, text in units.items():
        if atomic.read(f"{UNITS}/{name}") != text:
            atomic.write(f"{UNITS}/{name}", text, 0o644)
            written.append(f"{UNITS}/{name}")
    process.run(["systemctl", "daemon-reload"], check=True)
    process.run(["systemctl", "enable", "--now", _TIMER], check=True)
    return written


def remove() -> list[str]:
    """Stop the timer, and remove the units; the files that were removed. Done twice, nothing."""
    there = [f"{UNITS}/{name}" for name in (_SERVICE, _TIMER) if os.path.exists(f"{UNITS}/{name}")]
    if there:
        process.run(["systemctl", "disable", "--now", _TIMER])
        for path in there:
            atomic.remove(path)
        process.run(["systemctl", "daemon-reload"])
    return there


def _plain(text: str) -> str:
    """Text where systemd takes a % for the begin of something else."""
    return text.replace("%", "%%")


def _quoted(word: str) -> str:
    """A word of a command line, as systemd.service(5) reads it."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return _plain(f'"{escaped}"' if re.search(r"[\s\"'\\;]", word) else escaped)
