"""sha256, by CPython's own code for what is small and by OpenSSL's for what is large.

OpenSSL takes 3 ms to load, and an ordinary tick digests a few kilobytes of scripts. hashlib takes 2
more, to make all the others that it has.
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
    try:
        from _hashlib import openssl_sha256 as sha256  # noqa: PLC0415
    except ImportError:  # a Python without it
        from hashlib import sha256  # noqa: PLC0415


def of_pieces(pieces: Iterable[bytes | memoryview]) -> str:
    """The sha256 of something large that is read piece by piece, in hexadecimal."""
    expect_much()
    state = sha256()
    for piece in pieces:
        state.update(piece)
    return state.hexdigest()
