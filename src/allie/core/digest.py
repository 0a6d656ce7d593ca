"""sha256, by CPython's own code for what is small and by OpenSSL's for what is large.

hashlib loads OpenSSL, which takes 5 ms, and an ordinary tick digests a few kilobytes of scripts.
"""

from __future__ import annotations

from _collections_abc import Iterable

TYPE_CHECKING = False  # type checkers take this name for True (PEP 484)

if TYPE_CHECKING:
    from hashlib import sha256
else:
    try:
        from _sha2 import sha256
    except ImportError:  # before Python 3.12
        from _sha256 import sha256


def of(data: bytes) -> str:
    """The sha256 of some bytes, in hexadecimal."""
    return sha256(data).hexdigest()


def expect_much() -> None:
    """From now on OpenSSL does it: from a megabyte on that pays, be it of many small files."""
    global sha256
    from hashlib import sha256  # noqa: PLC0415


def of_pieces(pieces: Iterable[bytes | memoryview]) -> str:
    """The sha256 of something large that is read piece by piece, in hexadecimal."""
    from hashlib import sha256 as fast  # noqa: PLC0415 - loaded only where it is worth it

    state = fast()
    for piece in pieces:
        state.update(piece)
    return state.hexdigest()
