"""Tell the stub whether this client works: it does not while a file, the mark, stands.

The stub makes the mark and passes its name. A client that has started well removes it, and makes it
again if it shows a fault of its own later. If the mark is there in the end, the stub has the last
good client do the tick: so no client, however broken, can stop the next fetch.

docs/internals/rules.md, "A new client is tried first".
"""

from __future__ import annotations

import os

_NAME = "ALLIE_STARTING"
_mark: list[str] = []


def well() -> None:
    """All modules are here: the mark goes."""
    mark = os.environ.pop(_NAME, "")
    if mark:
        _mark.append(mark)
        try:
            os.unlink(mark)
        except OSError:
            pass


def badly() -> None:
    """A fault of this client's own, which a good one would not have: the mark comes back."""
    for mark in _mark:
        try:
            os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
        except OSError:
            pass
