"""Give away what a program does not need before becoming it (capabilities(7), prctl(2))."""

from __future__ import annotations

import sys

from allie.machine import libc

# linux/capability.h
CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID = range(5)
_BOUNDING_DROP, _NO_NEW_PRIVILEGES, _AMBIENT, _AMBIENT_CLEAR_ALL = 24, 38, 47, 4  # linux/prctl.h
_VERSION = 0x20080522  # of capset(2)
_MOST = 64  # capabilities; the kernel has 41


def keep_only(*kept: int) -> None:
    """Whatever is executed from now on has these capabilities at most.

    Also as root, and by no setuid program or file capability more. This process itself keeps what
    it has until then: it may have mounts to make. Not root: there is nothing to give away.
    """
    libc.call("prctl", _NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    for number in range(_MOST):
        if number in kept:
            continue
        try:
            libc.call("prctl", _BOUNDING_DROP, number, 0, 0, 0)
        except OSError:
            break  # there are no more; or we are not root
    _inherit_nothing()


def _inherit_nothing() -> None:
    """Root's programs also get what is inheritable, whatever the bounding set says."""
    try:
        libc.call("prctl", _AMBIENT, _AMBIENT_CLEAR_ALL, 0, 0, 0)
    except OSError:
        pass  # before Linux 4.3 there were no ambient ones
    try:
        with open("/proc/self/status", encoding="utf-8") as status:
            fields = dict(line.split(":", 1) for line in status if line.startswith("Cap"))
    except OSError:
        return  # a root without /proc
    permitted, effective = (int(fields[each], 16) for each in ("CapPrm", "CapEff"))
    words = []
    for shift in (0, 32):
        words += [effective >> shift & 0xFFFFFFFF, permitted >> shift & 0xFFFFFFFF, 0]
    data = b"".join(each.to_bytes(4, sys.byteorder) for each in words)
    head = _VERSION.to_bytes(4, sys.byteorder) + bytes(4)
    libc.call("capset", head, data)
