"""What a PC tells its store of itself: one JSON value of all its systems, and when it is due again.

    the reports of its systems, and the machine  →  value  →  inbox/HOST/report

Names of paths and the last lines of scripts are in it, contents are not. It is bounded, since a
server keeps one of each PC, and pure.
"""

from __future__ import annotations

from allie.core import stubs
from allie.core.change import report as reports
from allie.core.change.report import Report
from allie.core.value import TYPE_CHECKING, Value

if TYPE_CHECKING:
    from typing import Any

FORMAT = 1
_PATHS, _WORDS = 50, 400  # of each list, and of each text, at most
_LINES = 5  # of what a script last said
_SOME_ROOM = 0.05  # of a disk: more or less free by that much is news
# What is another at every tick, or tells no more than the rest
_PASSING = (
    *("tick", "began", "seconds", "since", "code", "why", "applied", "named"),
    *("good", "answered", "booted", "free"),
)


class Host(Value):
    """What is told of the PC itself."""

    host: str
    identity: str  # a digest of its machine-id: two PCs of one name, or one image's, show by it
    boot: str  # the kernel's name for it
    booted: int  # seconds since the epoch; the kernel says it a second sooner or later
    kernel: str
    disk: int  # bytes of the disk of `/`
    free: int


def value_of(machine: Host, systems: list[dict[str, Any]]) -> dict[str, Any]:
    """What is to be sent. systems: what `told` says of each, the running one first."""
    return {"format": FORMAT, "machine": machine._asdict(), "systems": systems}


def told(report: Report, sent: dict[str, Any]) -> dict[str, Any]:
    """What is sent of one system. sent: the last such value, which may know of the last change."""
    value: dict[str, Any] = reports.to_json(report)
    before = (each for each in sent.get("systems", ()) if each.get("system") == report.system)
    known = [each.get("changed", {}) for each in before]
    changed = _changed(report) if report.changed else [*known, {}][0]
    scripts = [_script(each) for each in value["scripts"] if each["name"] != stubs.REPORTER]
    problems = [
        {name: text[:_WORDS] for name, text in each._asdict().items()}
        for each in report.problems[:_PATHS]
    ]
    return {**value, "scripts": scripts, "problems": problems, "changed": changed, "applied": []}


def is_due(value: dict[str, Any], sent: dict[str, Any], at: float, now: float) -> bool:
    """Whether it is to be sent, where `sent` was at a time `at`; {}: nothing ever was."""
    if not 0 <= now - at < reports.SENT_AGAIN or not sent:
        return True
    room, was = value["machine"], sent.get("machine", {})
    moved = abs(room["free"] - was.get("free", 0)) > _SOME_ROOM * max(1, room["disk"])
    return bool(moved) or _lasting(value) != _lasting(sent)


def _changed(report: Report) -> dict[str, Any]:
    """What the last tick that changed something did, by heading."""
    did: dict[str, list[str]] = {}
    counts: dict[str, int] = {}
    for each in report.own:
        for why, paths in each.did.items():
            did[why] = [*did.get(why, ()), *(path[:_WORDS] for path in paths)][:_PATHS]
        for why, count in each.counts.items():
            counts[why] = counts.get(why, 0) + count
    return {"tick": report.tick, "began": report.began, "did": did, "counts": counts}


def _script(verdict: dict[str, Any]) -> dict[str, Any]:
    """A script's verdict, with the end of what it said."""
    last = "\n".join(line[:_WORDS] for line in verdict["last"].splitlines()[-_LINES:])
    return {**verdict, "last": last, "why": verdict["why"][:_WORDS]}


def _lasting(value: Any) -> Any:
    """A value without what is another at every tick."""
    if isinstance(value, dict):
        return {name: _lasting(each) for name, each in value.items() if name not in _PASSING}
    return [_lasting(each) for each in value] if isinstance(value, list) else value
