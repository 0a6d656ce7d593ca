"""What a PC tells its store of itself: one JSON value of all its systems, and when it is due again.

    the reports of its systems, the machine, what it offers  →  value  →  inbox/HOST/report

Names of paths and the last lines of scripts are in it, contents are not, but of the files that
somebody offers (`core.change.hand_fix`). It is bounded, since a server keeps one of each PC, and
pure. docs/reference/reports.md has the form.
"""

from __future__ import annotations

from _collections_abc import Sequence

from allie.core import stubs
from allie.core.change import hand_fix
from allie.core.change import report as reports
from allie.core.change.hand_fix import HandFix
from allie.core.change.report import BY_HAND, Report
from allie.core.facts import Facts
from allie.core.lean import dumps
from allie.core.value import TYPE_CHECKING, Value

if TYPE_CHECKING:
    from typing import Any

FORMAT = 1
MOST = 1 << 16  # bytes of a report, without what is offered
_PATHS, _WORDS = 50, 400  # of each list, and of each text, at most
_LINES = 5  # of what a script last said
_DISTROS = 8  # names of a distribution, and of those that it is like
_MANY = 200  # scripts of a system, and systems
_TIGHTER = ((200, 100), (100, 50), (50, 20), (20, 20))  # the same, where all that is too much
_TOO_MUCH = "its report is too large to be sent"
_SOME_ROOM = 0.05  # of a disk: more or less free by that much is news
# What is another at every tick, or tells no more than the rest
_PASSING = """
    tick began seconds since code why applied named good answered booted free sent next_tick
""".split()


class Host(Value):
    """What is told of the PC itself."""

    host: str
    identity: str  # a digest of its machine-id: two PCs of one name, or one image's, show by it
    boot: str  # the kernel's name for it
    booted: int  # seconds since the epoch; the kernel says it a second sooner or later
    kernel: str
    disk: int  # bytes of the disk of `/`
    free: int
    rsync: str = ""  # its version


class Times(Value):
    """Seconds since the epoch by the PC's clock, which the server's need not agree with."""

    sent: float  # when the report is made
    next_tick: float = 0.0  # by then it has ticked again, if it is on; 0: nothing starts its ticks


def value_of(
    machine: Host,
    systems: list[dict[str, Any]],
    times: Times | None = None,
    offers: Sequence[HandFix] = (),
) -> dict[str, Any]:
    """What is to be sent, not above MOST bytes and the offers.

    systems: what `told` says of each, the running one first.
    """
    value = {"format": FORMAT, **(times or Times(0.0))._asdict(), "machine": machine._asdict()}
    value["systems"] = systems[:_MANY]
    tighter = iter(_TIGHTER)
    while len(dumps(value)) > MOST and (room := next(tighter, None)):
        value = {**_within(value, *room), "cut": True}
    if len(dumps(value)) > MOST:
        names = [str(each.get("system", ""))[:_WORDS] for each in value["systems"]]
        value["systems"] = [{"system": name, "trouble": _TOO_MUCH} for name in names]
    return {**value, "offers": [hand_fix.to_json(each) for each in offers]}


def told(
    report: Report,
    sent: dict[str, Any],
    overlays: Sequence[str] | None = None,
    facts: Facts | None = None,
) -> dict[str, Any]:
    """What is sent of one system.

    sent: the last such value, which may know of the last change. overlays: as they are laid, if
    that is known; facts: what else overlays may ask for, of the system that runs.
    """
    value: dict[str, Any] = reports.to_json(report)
    before = (each for each in sent.get("systems", ()) if each.get("system") == report.system)
    known = [each.get("changed", {}) for each in before]
    changed = _changed(report) if report.changed else [*known, {}][0]
    scripts = [_script(each) for each in value["scripts"] if each["name"] != stubs.REPORTER]
    if len(scripts) > _MANY:
        scripts = sorted(scripts, key=lambda each: bool(each["state"] != "failing"))
    problems = [
        {name: text[:_WORDS] for name, text in each._asdict().items()}
        for each in report.problems[:_PATHS]
    ]
    did = {"scripts": scripts[:_MANY], "problems": problems, "changed": changed, "applied": []}
    value = {**value, **did, **({} if overlays is None else {"overlays": [*overlays]})}
    return {**value, "facts": _facts(facts)} if facts else value


def _facts(known: Facts) -> dict[str, Any]:
    """What tags may ask for beside name, classes and image."""
    distro = [each[:_WORDS] for each in known.distro[:_DISTROS]]
    texts = {"version": known.version, "arch": known.arch, "virt": known.virt}
    return {"distro": distro, **{name: text[:_WORDS] for name, text in texts.items()}}


def is_due(value: dict[str, Any], sent: dict[str, Any], at: float, now: float) -> bool:
    """Whether it is to be sent, where `sent` was at a time `at`; {}: nothing ever was."""
    if not 0 <= now - at < reports.SENT_AGAIN or not sent:
        return True
    room, was = value["machine"], sent.get("machine", {})
    moved = abs(room["free"] - was.get("free", 0)) > _SOME_ROOM * max(1, room["disk"])
    return bool(moved) or _lasting(value) != _lasting(sent)


def _changed(report: Report) -> dict[str, Any]:
    """What the last tick that changed something did, by heading; and how it was changed by hand."""
    did: dict[str, list[str]] = {}
    counts: dict[str, int] = {}
    kinds: dict[str, str] = {}
    for each in report.own:
        for why, paths in each.did.items():
            did[why] = [*did.get(why, ()), *(path[:_WORDS] for path in paths)][:_PATHS]
        for why, count in each.counts.items():
            counts[why] = counts.get(why, 0) + count
        kinds.update({path[:_WORDS]: kind for path, kind in each.kinds.items()})
    shown = {path for why in BY_HAND for path in did.get(why, ())}
    kinds = {path: kind for path, kind in kinds.items() if path in shown}
    whole = {"tick": report.tick, "began": report.began, "did": did, "counts": counts}
    return {**whole, "kinds": kinds}


def _script(verdict: dict[str, Any]) -> dict[str, Any]:
    """A script's verdict, with the end of what it said."""
    last = "\n".join(line[:_WORDS] for line in verdict["last"].splitlines()[-_LINES:])
    return {**verdict, "last": last, "why": verdict["why"][:_WORDS]}


def _within(value: Any, words: int, items: int) -> Any:
    """A value with its texts and lists cut to a length."""
    if isinstance(value, dict):
        some = [*value.items()][: max(items, 2 * len(Report._fields))]
        return {name[:words]: _within(each, words, items) for name, each in some}
    if isinstance(value, list):
        return [_within(each, words, items) for each in value[:items]]
    return value[:words] if isinstance(value, str) else value


def _lasting(value: Any) -> Any:
    """A value without what is another at every tick."""
    if isinstance(value, dict):
        return {name: _lasting(each) for name, each in value.items() if name not in _PASSING}
    return [_lasting(each) for each in value] if isinstance(value, list) else value
