"""Call functions of the C library that Python has none for: mount(2), prctl(2), renameat2(2).

By what ctypes itself is made of. ctypes makes thirty types when it is imported, none of which is
needed here; that would be half of what the import costs, in each process of a tick that changes
something, and in each `allie enter`.
"""

from __future__ import annotations

import _ctypes
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
    from typing import Any

_LIBRARY = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]  # what Python is linked with


class _Int(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "i"


class _Char(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "c"


class _Function(_ctypes.CFuncPtr):
    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
    _restype_ = _Int


def call(name: str, *arguments: object) -> int:
    """What the function returns. Raises OSError where that is -1, or where there is no such one.

    Arguments are numbers (C's int), bytes (a pointer to them), a `buffer`, or None (NULL).
    """
    result = int(_Function(_ctypes.dlsym(_LIBRARY, name))(*arguments))
    if result == -1:
        raise OSError(last_errno(), last_error())
    return result


def last_errno() -> int:
    """Why the last call that failed did (errno(3))."""
    return _ctypes.get_errno()


def last_error() -> str:
    """The same in the C library's words."""
    return os.strerror(last_errno())


def buffer(size: int) -> ctypes.Array[ctypes.c_char]:
    """Memory of zeroes, into which a function may write; `.raw` is what it holds then."""
    kind: Any = type("_Buffer", (_ctypes.Array,), {"_type_": _Char, "_length_": size})
    made: ctypes.Array[ctypes.c_char] = kind()
    return made
