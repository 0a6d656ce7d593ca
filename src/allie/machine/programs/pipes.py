"""Talk with a program that runs: feed it, and read what it says, in bounds where they are set."""

from __future__ import annotations

import os
import select
from _collections_abc import Callable

from allie.core.lean import signal
from allie.machine.programs import process_groups
from allie.machine.programs.process_groups import MUCH, Cut, Watch

Take = Callable[[bytes], "bool | None"]
_KEPT = 1 << 17  # bytes of standard error, half of them its beginning, half its end
_MOST_OUT = 1 << 24  # bytes of an answer that is kept: some hundred thousand names
_MOST_SAID = 1 << 30  # bytes that are handed on, or thrown away
_LINE = 1 << 16  # bytes; a name has 4,096 at most, and rsync prints five for one


def converse(
    watch: Watch, ends: tuple[int, int, int], stdin: bytes, on_output: Take | None
) -> tuple[bytes, bytes]:
    """Feed a child and read it until both its outputs are closed, or it was ended: (out, err).

    ends: of the pipes to its standard input, and from its output and error. They are closed.
    on_output: given what it prints, as it comes; where it returns True the child is ended.
    """
    in_write, out_read, err_read = ends
    is_bounded = watch.bounds is not None
    out, err = _Said(is_bounded, on_output, None), _Said(is_bounded, None, _KEPT)
    listeners = {out_read: out, err_read: err}
    poll = select.poll()
    for descriptor in listeners:
        poll.register(descriptor, select.POLLIN)
    os.set_blocking(in_write, False)
    poll.register(in_write, select.POLLOUT)
    still_open = set(ends)
    try:
        while (still_open - {in_write}) and not watch.cut:
            for descriptor, event in poll.poll(process_groups.LOOK * 1000 if is_bounded else None):
                if descriptor == in_write:
                    stdin = _feed(in_write, stdin, event)
                    done = not stdin
                else:
                    data = os.read(descriptor, 65536)
                    done = not data
                    _hear(listeners[descriptor], data, watch)
                if done:
                    poll.unregister(descriptor)
                    still_open.discard(descriptor)
                    os.close(descriptor)
            watch.look()
    finally:
        for descriptor in still_open:
            os.close(descriptor)
    return out.kept(), err.kept()


def by_line(take: Take) -> Take:
    """For `on_output`: hand on what is printed in whole lines (a carriage return ends one, too)."""
    rest = b""

    def follow(output: bytes) -> bool | None:
        nonlocal rest
        output = rest + output
        end = max(output.rfind(b"\n"), output.rfind(b"\r")) + 1
        rest = output[end:][-_LINE:]
        return take(output[:end])

    return follow


class _Said:
    """What a program says on one output, handed on or kept.

    most_kept: of what is kept, the beginning and the end, so many bytes in all; None: everything,
    or, where it is bounded, as much as makes sense.
    """

    def __init__(self, is_bounded: bool, on_output: Take | None, most_kept: int | None) -> None:
        self.on_output = on_output
        self.half = most_kept // 2 if most_kept else None
        most = _MOST_SAID if on_output or most_kept else _MOST_OUT
        self.most = most if is_bounded else None
        self.size = 0
        self._first: list[bytes] = []
        self._last = b""

    def take(self, data: bytes) -> bool | None:
        """Take in what came; whether that was enough."""
        self.size += len(data)
        if self.on_output:
            return self.on_output(data)
        if self.half is None or self.size <= self.half:
            self._first.append(data)
        else:
            self._last = (self._last + data)[-self.half :]
        return None

    @property
    def is_too_much(self) -> bool:
        """Whether it says more than could make sense."""
        return self.most is not None and self.size > self.most

    def kept(self) -> bytes:
        """What was not handed on."""
        return b"".join([*self._first, self._last])


def _hear(said: _Said, data: bytes, watch: Watch) -> None:
    if not data or watch.cut:
        return
    if said.take(data):
        os.killpg(watch.pid, signal.SIGKILL)  # told to end, rsync sleeps for 0.4 seconds first
    elif said.is_too_much:
        watch.end(Cut(MUCH, f"says more than {said.size >> 20} MiB"))


def _feed(in_write: int, stdin: bytes, event: int) -> bytes:
    """Write what the child takes; what is left of the input."""
    if not stdin or event & select.POLLERR:
        return b""
    try:
        return stdin[os.write(in_write, stdin) :]
    except BrokenPipeError:
        return b""
