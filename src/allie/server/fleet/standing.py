"""How a PC can stand, and each of its systems: the words of all views."""

from __future__ import annotations

from allie.core.value import Value
from allie.server.fleet.told import Told, ToldSystem

# How a system, or a PC, can stand: worst first. docs/reference/fleet.md explains each
STATES = (
    "missing",  # it should be there, and has never reported; or its report cannot be read
    "stale",  # it has not been heard of for much longer than it usually is
    "failing",  # a script fails, a path cannot be placed, or a note asks for somebody
    "refused",  # a store answered, and what it has was not taken
    "paused",  # its ticks only report
    "behind",  # what the store has now has not arrived, though it should have
    "arriving",  # another system of the PC, on its way
    "off",  # its daily report is late: switched off, one supposes
    "current",
)
ATTENTION = ("missing", "stale", "failing", "refused", "behind")  # exit status 1


class SystemView(Value):
    """One system of one PC, judged."""

    told: ToldSystem
    state: str  # of STATES
    since: float  # when it came to stand so, as far as is known; 0: not known
    why: str  # in words; "" of a current one
    todo: str = ""  # what to do next: a command where there is one
    reached: float = 0.0  # when what the store has now had arrived there; 0: it has not, yet
    drift: tuple[str, ...] = ()  # paths that its last changing tick found changed by hand
    has: float = 0.0  # the newest change of its overlays that it has; 0: none, or not known


class Pc(Value):
    """One PC: who it is, and how each of its systems stands."""

    host: str
    state: str  # the worst of its systems'
    since: float
    why: str
    todo: str
    heard: float  # when its last report arrived; 0: never
    expected_by: tuple[str, ...]  # of: classes, enrolled, reported, inbox
    told: Told | None
    systems: tuple[SystemView, ...]
