"""Have systemd make the site and the metrics every few minutes, and keep the log with them."""

from __future__ import annotations

import os
from collections.abc import Sequence

from allie.core.errors import UsageError
from allie.machine.mounts import mount_table
from allie.server import systemd
from allie.server.history import journal
from allie.server.systemd import Chore

EVERY = "5min"
NAME = "allie-fleet"
# It reads what PCs have sent, so it has no more than it needs: no network, no device, no other
# process, and it writes to its own three places
_SERVICE = """\
ProtectSystem=strict
ReadWritePaths={places}
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
PrivateNetwork=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
NoNewPrivileges=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_CHOWN CAP_FOWNER
MemoryMax=1G
TimeoutStartSec=10min
# another look was at work
SuccessExitStatus=75
"""


def chore(store: str, site: str | None, metrics: str | None) -> Chore:
    """What systemd is to do. All are real paths. Raises UsageError for a place it does not see."""
    for path in filter(None, (site, metrics)):
        if any(mount_table.is_within(path, top) for top in ("/tmp", "/var/tmp")):
            raise UsageError(f"{path}: the service has a /tmp of its own", "name another place")
    words = ["fleet", "--store", store]
    words += ["--site", site] if site else []
    words += ["--metrics", metrics] if metrics else []
    writes = [f"{store}/{journal.DIRECTORY}", site, os.path.dirname(metrics or "")]
    places = [each for each in writes if each]
    return Chore(
        NAME,
        f"Make the views of the fleet of {store}",
        "allie fleet",
        "allie fleet --timer --remove",
        words,
        f"RequiresMountsFor={_listed([store, *places])}\n",
        _SERVICE.format(places=_listed(places)),
        "10s",
    )


def _listed(paths: Sequence[str]) -> str:
    return " ".join(map(systemd.quoted, paths))
