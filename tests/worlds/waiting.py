"""Wait for what comes by itself: a file, an answer, the end of a process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")

PATIENCE = 300.0  # seconds; what is waited for takes tenths where nothing else is to be done


def until(
    what: Callable[[], _T | None],
    words: str = "it comes to pass",
    *,
    push: Callable[[], object] = lambda: None,
    pause: float = 0.02,
) -> _T:
    """Wait for something to become true; its value. Fails, in these words, where it does not.

    push: done before each further look. pause: seconds between two looks.
    """
    deadline = time.monotonic() + PATIENCE
    while not (found := what()):
        assert time.monotonic() < deadline, f"not within {PATIENCE:.0f} s: {words}"
        push()
        time.sleep(pause)
    return found
