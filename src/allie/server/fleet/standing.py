"""How a PC can stand, and each of its systems: the words of all views."""

from __future__ import annotations

import re
import shlex

from allie.core.value import Value
from allie.server.fleet.told import Told, ToldScript, ToldSystem
from allie.server.store import named_store

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
HOSTS = "<HOSTS>"  # in a command: where the name of a host goes, or a host set
ATTENTION = ("missing", "stale", "failing", "refused", "behind")  # exit status 1


class Concern(Value):
    """One thing that is not as it should be. Equal ones of many PCs are shown as one."""

    state: str  # of STATES
    why: str  # in words, without times, numbers of the PC's own, and names of hosts
    since: float = 0.0  # 0: not known
    last: str = ""  # what a script last said; newlines are kept
    on_pc: str = ""  # the command to begin with, on the PC; or …
    here: str = ""  # … on the server, with HOSTS where the host's name, or a host set, goes

    def todo(self, host: str) -> str:
        """What to do next about one PC: a line for a shell on the server."""
        return _at_pc(host, self.on_pc) if self.on_pc else self.here.replace(HOSTS, host)


class SystemView(Value):
    """One system of one PC, judged."""

    told: ToldSystem
    worst: Concern  # of its own and the whole PC's: how it stands; of a current one without words
    reached: float = 0.0  # when what the store has now had arrived there; 0: it has not, yet
    drift: tuple[str, ...] = ()  # paths that its last changing tick found changed by hand
    has: float = 0.0  # the newest change of its overlays that it has; 0: none, or not known
    concerns: tuple[Concern, ...] = ()  # all that hold of it, worst first; of a current one none

    @property
    def state(self) -> str:
        """How it stands, of STATES."""
        return self.worst.state

    @property
    def is_so_now(self) -> bool:
        """Whether what the store has now is there, as far as one can know: it is heard of, too."""
        return self.reached > 0 and self.state == "current"


class Pc(Value):
    """One PC: who it is, and how each of its systems stands."""

    host: str
    worst: Concern  # of its systems' and its own
    heard: float  # when its last report arrived; 0: never
    expected_by: tuple[str, ...]  # of: classes, enrolled, reported, inbox
    told: Told | None
    systems: tuple[SystemView, ...]
    classes: tuple[str, ...] = ()  # by the store's files; those they do not have, as it told
    concerns: tuple[Concern, ...] = ()  # of the whole PC: missing, stale or off

    @property
    def state(self) -> str:
        """How it stands, of STATES."""
        return self.worst.state

    @property
    def why(self) -> str:
        """Why it stands so, in words; "" of a current one."""
        return self.worst.why

    def stands(self, state: str) -> bool:
        """Whether it stands so, whatever stands worse with it."""
        found = (*self.concerns, *(one for each in self.systems for one in each.concerns))
        return self.state == state or any(one.state == state for one in found)

    @property
    def drift(self) -> tuple[str, ...]:
        """The paths that were changed by hand, of all its systems."""
        return tuple(path for each in self.systems for path in each.drift)


def ending(script: ToldScript) -> str:
    """How a script ended that is not satisfied, alike for all that ended so; never "".

    What the PC says of it may go on with the number of a tick of its own.
    """
    code = script.code or 0
    if code > 0:
        return f"exit {code}"
    said = script.why.partition("; ")[0]
    if code and not said.startswith("ended after"):  # that is a time-out, which sends a signal
        return f"ended by signal {-code}"
    return said or "ended, nobody knows how"


def path_of(path: str) -> str:
    """A path as people write it; reports leave out the first slash."""
    return f"/{path.lstrip('/')}"


def _at_pc(host: str, command: str) -> str:
    """A command on a PC, as a line for a shell here. host: its name, which a shell takes as it is.

    >>> _at_pc("pc07", "allie why /etc/motd"), _at_pc("pc07", "allie why '/etc/a b'")[:12]
    ('ssh pc07 allie why /etc/motd', "ssh pc07 'al")
    """
    return f"ssh {host} {quoted(command)}"


def adopting(store: str, host: str, path: str) -> str:
    """The command by which what a host offers at a path is looked at, and taken."""
    words = ("allie", "fleet", "adopt", host, path_of(path))
    return f"{shlex.join(words)}{named_store(store)}"


def quoted(command: str) -> str:
    """A command for another shell, as words of this one's; bare where both read it alike."""
    plain = re.fullmatch("[A-Za-z0-9_/ .,=:+@%-]*", command)
    return command if plain else shlex.quote(command)
