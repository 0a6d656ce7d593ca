"""End the connections of the rsync door's units that say nothing: allie-store-calls.service.

systemd starts an rsync for each call, and has no end for one that never says what it wants: as many
as it takes, and nobody else gets in. So they are ended, and where there are too many the oldest at
once. The first call brings this service, too, and some time after the last it ends.
docs/internals/doors.md, "Who says nothing".
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

from allie.core.errors import DONE
from allie.machine.files import atomic
from allie.machine.transfer.rsync_daemon import Callers
from allie.server import store_conf

_EVERY = 1.0  # seconds between two looks
_STAYS = 60.0  # seconds after the last call


def attend(top: str) -> int:
    """See to all calls until for some time there were none; the exit status. top: the store."""
    config = f"--config={store_conf.places(top).public}"
    callers = Callers(0, 2 * store_conf.read(top).connections, lambda: _calls(config))
    last = time.monotonic()
    while time.monotonic() - last < _STAYS:
        if callers.look():
            last = time.monotonic()
        time.sleep(_EVERY)
    return DONE


def _calls(config: str) -> list[int]:
    """The rsync daemons of the door that systemd has started, one for each connection."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):  # it ended
            words = (atomic.read_bytes(f"/proc/{pid}/cmdline") or b"").split(b"\0")
            if words[1:3] == [b"--daemon", os.fsencode(config)]:
                found.append(int(pid))
    return found
