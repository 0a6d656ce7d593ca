"""What one PC says of itself: a report, checked field by field.

    the bytes of inbox/HOST/report  →  Told

What comes from a PC is an attacker's. In a Told are numbers and printable text, bounded, in bounded
lists. Times are the server's: a PC's clock may be years off. Pure. docs/reference/reports.md.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from allie.core.change.hand_fix import HandFix
from allie.core.script import span_text
from allie.core.value import Value
from allie.server.fleet import cleaning, told_facts
from allie.server.fleet.cleaning import Cleaner
from allie.server.fleet.told_facts import ToldFacts

__all__ = ["HandFix", "ToldFacts"]

FORMAT = 1  # the newest that is known here; docs/reference/reports.md
SCRIPT_STATES = ("satisfied", "waiting", "failing", "test", "due")
_STATES = {state: state for state in SCRIPT_STATES}
_CODES: dict[float, int] = {code: code for code in range(-999, 1000)}  # true is 1, as to `_MET`
_LINES = 5  # of what a script last said
_SYSTEMS, _SCRIPTS, _PATHS, _NAMES = 16, 200, 50, 64  # of each list, at most
_FIXES, _OFFERED, _PATH = 16, 64_000, 4096  # hand fixes; bytes of all of them; letters of a path
_WRONG = 300  # seconds that a clock may be wrong before it is worth a word
_DAY = 86400
CLOCK = "its clock is"  # so begins a note


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
    tick: int = 0  # that tick's number
    kinds: dict[str, str] = {}  # noqa: RUF012 - by path: what of it was changed by hand


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
    arriving: str = ""  # of another system: how far its fetch or update is, or that it is not there
    trouble: str = ""  # of another system: why the last try to bring or update it failed
    rolled_back: str = ""  # … and the image that somebody rolled it back from
    wanted: str = ""  # the image that it is to have: another one, while it is updated
    facts: ToldFacts = ToldFacts()  # of the system that runs


class Told(Value):
    """One PC's report."""

    host: str  # whose inbox it lay in; what the report says of its name is `name`
    arrived: float  # by the server's clock
    flaw: str = ""  # why it cannot be read; then all of the rest is empty
    name: str = ""
    identity: str = ""  # a digest of its machine-id
    booted: float = 0.0
    boot: str = ""  # the kernel's name for that boot
    kernel: str = ""
    rsync: str = ""
    disk: int = 0  # bytes
    free: int = 0
    skew: float = 0.0  # seconds that its clock is ahead of ours
    next_tick: float = 0.0  # when it expects to tick again; 0: it does not say
    systems: tuple[ToldSystem, ...] = ()  # the running one first
    fixes: tuple[HandFix, ...] = ()
    notes: tuple[str, ...] = ()  # what is odd about the report itself


def read(host: str, arrived: float, text: bytes) -> Told:
    """What a report says. A report that says nothing sensible is a Told with a `flaw`.

    arrived: seconds since the epoch, by the server's clock.
    """
    try:
        value = cleaning.decoded(text)
    except RecursionError:
        return Told(host, arrived, "its report is nested too deep")
    except ValueError as error:
        return Told(host, arrived, f"its report is no JSON: {Cleaner(arrived).text(str(error))}")
    if value.__class__ is not dict or value.get("systems").__class__ is not list:
        return Told(host, arrived, "its report is no report: it tells of no system")
    clean = Cleaner(arrived)
    _set_clock(clean, value)
    systems = _systems(clean, value)
    if not systems:
        return Told(host, arrived, "its report is no report: it tells of no system")
    machine = clean.object(value.get("machine"))
    name = clean.name(machine.get("host")).lower()
    return Told(
        host,
        arrived,
        name=name,
        identity=clean.name(machine.get("identity")),
        booted=clean.time(machine.get("booted")),
        boot=clean.name(machine.get("boot")),
        kernel=clean.name(machine.get("kernel")),
        rsync=clean.name(machine.get("rsync")),
        disk=clean.count(machine.get("disk")),
        free=clean.count(machine.get("free")),
        skew=clean.skew,
        next_tick=_next_tick(clean, value),
        systems=systems,
        fixes=_fixes(clean, value),
        notes=_notes(clean, value, host, name),  # what was odd in all else is known by now
    )


def _set_clock(clean: Cleaner, value: dict[str, Any]) -> None:
    """Find how far the PC's clock is ahead: it sent this just before it arrived.

    Without a time of sending the tick that is told of has just ended, unless that makes no sense.
    """
    sent = clean.number(value.get("sent"))
    if sent > 0:
        clean.skew = sent - clean.arrived
        return
    began = max([_began(each) for each in value["systems"][:_SYSTEMS]], default=0.0)
    if began > 0 and abs(began - clean.arrived) > _DAY:
        clean.skew = began - clean.arrived


def _began(system: Any) -> float:
    began = system.get("began") if system.__class__ is dict else None
    return float(began) if began.__class__ in (int, float) and 0 < began < 1e12 else 0.0


def _next_tick(clean: Cleaner, value: dict[str, Any]) -> float:
    expected = clean.number(value.get("next_tick"))
    moved = expected - clean.skew
    return moved if expected and 0 < moved - clean.arrived < 400 * _DAY else 0.0


def _systems(clean: Cleaner, value: dict[str, Any]) -> tuple[ToldSystem, ...]:
    """Each system once, as it is first told of."""
    found: dict[str, ToldSystem] = {}
    for each in clean.objects(value["systems"], _SYSTEMS):
        system = _system(clean, each)
        if system.name:
            found.setdefault(system.name, system)
    return tuple(found.values())


def _system(clean: Cleaner, value: dict[str, Any]) -> ToldSystem:
    get = value.get
    contact = clean.object(get("contact"))
    return ToldSystem(
        clean.name(get("system")),
        clean.name(get("image")),
        clean.name(get("version")),
        tuple(map(clean.name, clean.entries(get("classes"), _NAMES))),
        tuple(map(clean.name, clean.entries(get("overlays"), _NAMES))),
        clean.count(contact.get("generation")),
        clean.count(get("tick")),
        clean.time(get("began")),
        _door(clean, contact),
        _door(clean, clean.object(get("own_door"))),
        clean.text(get("paused")),
        _scripts(clean, clean.objects(get("scripts"), _SCRIPTS)),
        tuple([_problem(clean, each) for each in clean.objects(get("problems"), _PATHS)]),
        clean.texts(get("notes"), _NAMES),
        _change(clean, clean.object(get("changed"))),
        clean.text(get("arriving")),
        clean.text(get("trouble")),
        clean.name(get("rolled_back")),
        clean.name(get("wanted")),
        told_facts.read(clean, clean.object(get("facts"))),
    )


def _door(clean: Cleaner, value: dict[str, Any]) -> ToldDoor:
    server, trouble = clean.text(value.get("server")), clean.text(value.get("trouble"))
    good, since = clean.time(value.get("good")), clean.time(value.get("since"))
    return ToldDoor(server, good, trouble, since, value.get("refused") is True)


_FIELDS = ("name", "state", "why", "code", "last")  # of a script, but its time
_SAID = itemgetter(*_FIELDS)
_MET: dict[tuple[Any, ...], tuple[Any, ...]] = {}  # what was said, and was clean as it came
_MOST_MET = 4096


def _scripts(clean: Cleaner, values: list[dict[str, Any]]) -> tuple[ToldScript, ...]:
    """All scripts. A fleet's thousands differ in `since` alone: what is met again is clean."""
    try:
        found = [_MET[each] for each in map(_SAID, values)]
    except (KeyError, TypeError):  # a new one; or it lacks something, or has what no dict can know
        found = [_script(clean, each) for each in values]
    since = clean.times([each.get("since") for each in values])
    name, state, why, code, last = zip(*found) if found else ((),) * 5
    return tuple(map(ToldScript._make, zip(name, state, why, since, code, last)))


def _script(clean: Cleaner, value: dict[str, Any]) -> tuple[Any, ...]:
    """What is said of one, cleaned. Where that changed nothing, it is known from now on."""
    name, state, why, code, last = said = tuple(map(value.get, _FIELDS))
    found = (
        clean.name(name),
        _STATES.get(state, "due") if state.__class__ is str else "due",
        clean.text(why),
        _CODES.get(code) if code.__class__ in (int, float, bool) else None,
        clean.lines(last, _LINES) if last else "",
    )
    if found == said and len(_MET) < _MOST_MET:
        _MET[found] = found
    return found


def _problem(clean: Cleaner, value: dict[str, Any]) -> ToldProblem:
    return ToldProblem(clean.text(value.get("path")), clean.text(value.get("message")))


def _change(clean: Cleaner, value: dict[str, Any]) -> ToldChange:
    did, counts, kinds = [clean.object(value.get(name)) for name in ("did", "counts", "kinds")]
    return ToldChange(
        clean.time(value.get("began")),
        {clean.name(why): clean.texts(did[why], _PATHS) for why in clean.keys(did, _NAMES)},
        {clean.name(why): clean.count(counts[why]) for why in clean.keys(counts, _NAMES)},
        clean.count(value.get("tick")),
        {clean.text(path): clean.name(kinds[path]) for path in clean.keys(kinds, 2 * _PATHS)},
    )


def _fixes(clean: Cleaner, value: dict[str, Any]) -> tuple[HandFix, ...]:
    """What it offers. The content is as it is: whoever shows it escapes it."""
    found, room = [], _OFFERED
    for each in clean.objects(value.get("offers"), _FIXES):
        content = clean.content(each.get("content"), room)
        if content is None:
            continue
        room -= len(content)
        path, spelling = (clean.text(each.get(name), _PATH) for name in ("path", "spelling"))
        overlay = clean.name(each.get("overlay"))
        base, reason = clean.name(each.get("base")), clean.text(each.get("reason"))
        at = clean.time(each.get("at"))
        found.append(HandFix(path, overlay, spelling, base, content, reason, at))
    return tuple(found)


def _notes(clean: Cleaner, value: dict[str, Any], host: str, name: str) -> tuple[str, ...]:
    """What is odd about the report itself, in words; once all else of it was read."""
    notes = []
    number = value.get("format", FORMAT)
    if number.__class__ is int and number > FORMAT:
        notes.append(f"its ALLiE is newer: of its report, of format {number}, what is known here")
    if abs(clean.skew) > _WRONG:
        side = "ahead" if clean.skew > 0 else "behind"
        notes.append(f"{CLOCK} {long_span(abs(clean.skew))} {side}")
    if name and name != host and host.partition(".")[0] != name.partition(".")[0]:
        notes.append(f"it calls itself {name}: renamed, or two PCs with one key?")
    if clean.is_cut or value.get("cut") is True:
        notes.append("its report is too long: not all of it is shown")
    if clean.is_odd:
        notes.append("some of its report is not of the documented form, and is passed over")
    return tuple(notes)


def long_span(seconds: float) -> str:
    """A span of time for people; also of years."""
    years = seconds / (365.25 * _DAY)
    return f"{years:.0f} years" if years >= 2 else span_text(seconds)
