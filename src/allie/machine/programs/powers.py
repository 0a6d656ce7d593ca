"""Give up root's powers (capabilities(7)) but for those that work within one system.

What has left the bounding set comes back by no program, setuid or not, in this process or below it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Collection

from allie.core.conf.script import POWERS

# What installing packages and writing files in a root of one's own takes. Not among them: what acts
# on the whole machine (its network, clock, kernel, devices), and what leads out of a root: mounts,
# device files, files opened by number (dac-read-search).
_WORDS = (
    "chown dac-override fowner fsetid kill setgid setuid setpcap linux-immutable net-bind-service"
    " ipc-lock ipc-owner sys-chroot sys-ptrace sys-nice sys-resource lease audit-write setfcap"
)
ORDINARY = frozenset(_WORDS.split())
_libc = ctypes.CDLL(None, use_errno=True)
_DROP, _AMBIENT, _CLEAR_ALL = 24, 47, 4  # linux/prctl.h
_VERSION = 0x20080522  # linux/capability.h: sets of 64 bits


def give_up(asked: Collection[str]) -> None:
    """Keep the ordinary powers and those asked for, of what this process has.

    Raises OSError where the kernel does not do it.
    """
    kept = {number for number, name in enumerate(POWERS) if name in ORDINARY or name in asked}
    for number in range(64):
        if number in kept:
            continue
        if _libc.prctl(_DROP, number, 0, 0, 0) != 0:
            if ctypes.get_errno() == errno.EINVAL:
                break  # the kernel knows no more of them
            raise OSError(ctypes.get_errno(), "cannot drop a capability")
    _libc.prctl(_AMBIENT, _CLEAR_ALL, 0, 0, 0)  # Linux before 4.3 has none
    header = struct.pack("Ii", _VERSION, 0)
    sets = ctypes.create_string_buffer(24)  # effective, permitted, inheritable: low, then high
    if _libc.capget(header, sets) == 0:
        words = struct.unpack("6I", sets.raw)
        mask = sum(1 << number for number in kept)
        low, high = words[1] & mask & 0xFFFFFFFF, words[4] & (mask >> 32)
        if _libc.capset(header, struct.pack("6I", low, low, 0, high, high, 0)) == 0:
            return
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))
