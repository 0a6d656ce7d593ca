"""Call functions of the C library that Python has none for: syncfs(2), prctl(2), renameat2(2).

By what ctypes itself is made of. ctypes makes thirty types when it is imported, none of which is
needed here; that would be half of what the import costs, in each process of a tick that changes
something.
"""

from __future__ import annotations

import _ctypes
import os

_LIBRARY = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]  # what Python is linked with


class _Int(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "i"


class _Function(_ctypes.CFuncPtr):
    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
    _restype_ = _Int


def call(name: str, *arguments: object) -> int:
    """What the function returns. Raises OSError where that is -1, or where there is no such one."""
    result = int(_Function(_ctypes.dlsym(_LIBRARY, name))(*arguments))
    if result == -1:
        number = _ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
