"""Lifeline: what we have started ends when we do, however that comes.

Also used by the quick tick (`client.state.quick_tick`): so it imports nothing but what the
interpreter has built in, or loads in no time.
"""

import _signal  # type: ignore[import-not-found]
import fcntl
import posix


class Lifeline:
    """Has the kernel kill a whole process group when we end, however that comes, or when we say so.

    It is a pipe: the group has the one end, we alone have the other. As soon as that is closed, the
    kernel sends the "input is possible" signal of fcntl(2), for which we choose SIGKILL, to the
    group. A parent-death signal (prctl(2)) reaches a single process and none that it has forked.
    """

    def __init__(self) -> None:
        self.theirs, self._ours = posix.pipe2(posix.O_CLOEXEC)

    def tie(self, group: int) -> None:
        """From now on they end with us. The group must exist."""
        fcntl.fcntl(self.theirs, fcntl.F_SETOWN, -group)
        fcntl.fcntl(self.theirs, fcntl.F_SETSIG, _signal.SIGKILL)
        flags = fcntl.fcntl(self.theirs, fcntl.F_GETFL)
        fcntl.fcntl(self.theirs, fcntl.F_SETFL, flags | fcntl.FASYNC)

    def tie_ourselves(self) -> None:
        """In a forked child: end, with our own group, when our parent does."""
        posix.close(self._ours)
        self.tie(posix.getpid())
        try:
            posix.set_blocking(self.theirs, False)
            if not posix.read(self.theirs, 1):  # nobody has the other end any more
                posix._exit(2)
        except BlockingIOError:
            pass

    def cut(self) -> None:
        """End whatever is left of the group; in a forked child only close what our parent has."""
        posix.close(self._ours)
        posix.close(self.theirs)

    def let_go(self) -> None:
        """The group may go on without us: a program that puts itself into the background."""
        fcntl.fcntl(self.theirs, fcntl.F_SETOWN, 0)
        self.cut()
