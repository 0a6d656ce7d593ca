"""Give up capabilities (capabilities(7)), the single rights that make up root's power.

What has left the bounding set comes back by no program, setuid or not, in this process or below it.
"""

from __future__ import annotations

import errno
import struct
from _collections_abc import Collection

from allie.core.lean import suppress
from allie.core.script import POWERS
from allie.machine import libc

# linux/capability.h
CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID = range(5)
SETGID, SETUID, NET_BIND_SERVICE, SYS_CHROOT, SYS_ADMIN = 6, 7, 10, 18, 21
# Of a script in a root of its own: what installing packages and writing files takes. Not among
# them: what acts on the whole machine (its network, clock, kernel, devices), and what leads out of
# a root: mounts, device files, files opened by number (dac-read-search).
_WORDS = (
    "chown dac-override fowner fsetid kill setgid setuid setpcap linux-immutable net-bind-service"
    " ipc-lock ipc-owner sys-chroot sys-ptrace sys-nice sys-resource lease audit-write setfcap"
)
ORDINARY = frozenset(_WORDS.split())
_BOUNDING_DROP, _NO_NEW_PRIVILEGES, _AMBIENT, _CLEAR_ALL = 24, 38, 47, 4  # linux/prctl.h
_VERSION = struct.pack("Ii", 0x20080522, 0)  # of capset(2): sets of 64 bits; 0: this process
_MOST = 64  # capabilities; the kernel has 41


def give_up(asked: Collection[str]) -> None:
    """Keep the ordinary powers of a script and those asked for, of what this process has.

    Raises OSError where the kernel does not do it.
    """
    kept = {number for number, name in enumerate(POWERS) if name in ORDINARY or name in asked}
    _bound(kept)
    _set_own(sum(1 << number for number in kept))


def keep_only(*kept: int) -> None:
    """Whatever is executed from now on has these capabilities at most, also as root.

    This process itself keeps what it has until then: it may have mounts to make. Not root: there is
    nothing to give away.
    """
    libc.call("prctl", _NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    with suppress(OSError):  # we are not root
        _bound(kept)
    _set_own(None)


def _bound(kept: Collection[int]) -> None:
    """Drop all others from the bounding set."""
    for number in range(_MOST):
        if number in kept:
            continue
        try:
            libc.call("prctl", _BOUNDING_DROP, number, 0, 0, 0)
        except OSError as error:
            if error.errno == errno.EINVAL:
                return  # the kernel knows no more of them
            raise


def _set_own(mask: int | None) -> None:
    """Have what is in the mask alone, now; None: all that we have. Programs inherit none of it."""
    with suppress(OSError):  # before Linux 4.3 there were no ambient ones
        libc.call("prctl", _AMBIENT, _CLEAR_ALL, 0, 0, 0)
    sets = libc.buffer(24)  # effective, permitted, inheritable: the low 32 bits, the high
    libc.call("capget", _VERSION, sets)
    words = list(struct.unpack("6I", sets.raw))
    for at, shift in ((0, 0), (3, 32)):
        if mask is not None:
            words[at] = words[at + 1] = words[at + 1] & mask >> shift & 0xFFFFFFFF
        words[at + 2] = 0
    libc.call("capset", _VERSION, struct.pack("6I", *words))
