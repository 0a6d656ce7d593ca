"""What one PC says of itself: a report, checked field by field.

    the bytes of inbox/HOST/report  →  Told

What comes from a PC is an attacker's. Nothing of it is in a Told but text without control
characters, of a bounded length, and numbers of a bounded size; lists are bounded, too. Times are
made the server's own: a PC's clock may be years off. Pure. docs/reference/reports.md has the form.
"""

from __future__ import annotations

from allie.core.change.hand_fix import HandFix
from allie.core.value import Value


class ToldScript(Value):
    """How one conf script stands."""

    name: str
    state: str  # satisfied, waiting, failing, test or due
    why: str = ""
    since: float = 0.0  # seconds since the epoch, of the server's clock; so are all times here
    code: int | None = None
    last: str = ""  # the last lines that it said, if it failed; newlines are kept


class ToldProblem(Value):
    """A path that was left as it is, and why."""

    path: str
    message: str


class ToldDoor(Value):
    """How a system stands with one door of the store."""

    server: str = ""  # the address; "": it has none
    good: float = 0.0  # it last answered, and what it had was taken
    trouble: str = ""
    since: float = 0.0  # since when there is trouble
    refused: bool = False  # it answered, and what it has was not taken: held back, and why


class ToldChange(Value):
    """What the last tick that changed something did."""

    at: float = 0.0
    did: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 - heading → paths; "drift" is one of them
    counts: dict[str, int] = {}  # noqa: RUF012 - by heading; paths may be fewer than were counted


class ToldSystem(Value):
    """What is said of one system of a PC."""

    name: str
    image: str = ""
    version: str = ""  # ALLiE's
    classes: tuple[str, ...] = ()
    overlays: tuple[str, ...] = ()  # by name, as they are laid
    generation: int = 0  # a number of the PC's own
    tick: int = 0
    ticked: float = 0.0  # when the tick that is told of began
    contact: ToldDoor = ToldDoor()
    own: ToldDoor = ToldDoor()
    paused: str = ""
    scripts: tuple[ToldScript, ...] = ()
    problems: tuple[ToldProblem, ...] = ()
    notes: tuple[str, ...] = ()
    change: ToldChange = ToldChange()
    arriving: str = ""  # of another system: how far it is, or why it is not there


class Told(Value):
    """One PC's report."""

    host: str  # whose inbox it lay in; what the report says of its name is `name`
    arrived: float  # by the server's clock
    flaw: str = ""  # why it cannot be read; then all of the rest is empty
    name: str = ""
    identity: str = ""  # a digest of its machine-id
    booted: float = 0.0
    kernel: str = ""
    rsync: str = ""
    disk: int = 0  # bytes
    free: int = 0
    skew: float = 0.0  # seconds that its clock is ahead of ours
    next_tick: float = 0.0  # when it expects to tick again; 0: it does not say
    systems: tuple[ToldSystem, ...] = ()  # the running one first
    fixes: tuple[HandFix, ...] = ()


def read(host: str, arrived: float, text: bytes) -> Told:
    """What a report says. A report that says nothing sensible is a Told with a `flaw`.

    arrived: seconds since the epoch, by the server's clock.
    """
    raise NotImplementedError
