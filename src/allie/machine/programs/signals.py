"""Which signals end ALLiE, and that its children begin with none ignored or held back.

A timer, cron, a terminal or another program may start ALLiE with some signals ignored or blocked. A
tick would go wrong by it, and a conf script do another thing than an hour ago, for reasons that no
log shows. So ALLiE puts right at its beginning what it needs itself (`heed`), and each of its
children begins as a fresh process does (`renew`). What `allie enter` becomes has its caller's.
"""

from __future__ import annotations

import os

from allie.core.lean import signal
from allie.core.value import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import NoReturn

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_changed: set[int] = {*STOPS, signal.SIGPIPE, signal.SIGXFSZ}  # Python itself ignores the last two


class Stopped(KeyboardInterrupt):
    """Somebody wants us to end: Ctrl-C, `kill`, `systemctl stop`, a terminal that went away."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by signal {number}")
        self.number = number


def heed() -> None:
    """From now on a signal to end raises Stopped: what was begun is ended, and put in order.

    A caller who has us ignore one of them (nohup) is obeyed; any other signal is as in a fresh
    process. Were SIGCHLD ignored, no child could be waited for.
    """
    for number in range(1, signal.NSIG):
        if signal.getsignal(number) == signal.SIG_IGN:
            _changed.add(number)
    for each in STOPS:
        if signal.getsignal(each) != signal.SIG_IGN:
            signal.signal(each, _stop)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    for each in STOPS:  # what is being put in order is not interrupted a second time
        signal.signal(each, _pass_over)
    raise Stopped(number)


def _pass_over(_number: int, _frame: FrameType | None) -> None:
    """Not SIG_IGN: of one at the same moment Python prints 'ignored due to race condition'."""


def changed() -> frozenset[int]:
    """The signals that are not as a fresh process has them: for one that is not forked."""
    return frozenset(_changed)


def held_back(fork: Callable[[], int]) -> int:
    """Fork; in the child what ends us waits for `renew`: raised before, it would run our code."""
    ours = os.getpid()
    held = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        return fork()
    finally:
        if os.getpid() == ours:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)


def renew() -> None:
    """In a forked child: have all signals as a fresh process has them."""
    for number in _changed:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
