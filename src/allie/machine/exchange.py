"""Exchange: let two names of one file system change places at once (renameat2(2))."""

from __future__ import annotations

import ctypes
import os

from allie.machine import atomic

_libc = ctypes.CDLL(None, use_errno=True)
_CWD, _EXCHANGE = -100, 2  # linux/fcntl.h: AT_FDCWD; linux/fs.h: RENAME_EXCHANGE


def exchange(one: str, other: str) -> bool:
    """Let two paths swap what they name; False where C library or file system cannot."""
    if not hasattr(_libc, "renameat2"):  # glibc before 2.28
        return False
    names = os.fsencode(one), os.fsencode(other)
    if _libc.renameat2(_CWD, names[0], _CWD, names[1], _EXCHANGE) != 0:
        return False
    atomic.sync_directory(os.path.dirname(one))
    return True
