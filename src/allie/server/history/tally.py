"""How the fleet stood, look by look, and how far each change of an overlay had come by then.

    Fleet  →  Count         Counts  →  those that are kept: the older, the fewer

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from allie.core.value import Value
from allie.server.fleet import judge
from allie.server.fleet.fleet import STATES, Fleet, SystemView
from allie.server.fleet.overlay_changes import named_by

_HOUR, _DAY = 3600.0, 86400.0
OFTEN = 60  # seconds: what is looked at more often is counted once
# Kept are of the last two days all counts, of five weeks one an hour, of two years four a day
_STEPS = ((2 * _DAY, 0.0), (35 * _DAY, _HOUR), (730 * _DAY, 6 * _HOUR))


class Count(Value):
    """How the fleet stood at a time."""

    at: float
    states: Mapping[str, int]  # PCs by state
    reports: int  # that arrived in the hour before
    reached: Mapping[str, int] = {}  # overlay → systems that have its last change
    following: Mapping[str, int] = {}  # overlay → systems that follow it
    changed: Mapping[str, float] = {}  # overlay → when that change was made


def tally(fleet: Fleet) -> Count:
    """How the fleet stands now."""
    states = dict.fromkeys(STATES, 0)
    changed = {name: at for name, at in fleet.changed.items() if is_shared(name)}
    following = dict.fromkeys(changed, 0)
    reached = dict.fromkeys(changed, 0)
    reports = 0
    for pc in fleet.pcs:
        states[pc.state] += 1
        reports += 0 <= fleet.now - pc.heard <= _HOUR
        for view in pc.systems:
            for name in followed(view, changed):
                following[name] += 1
                reached[name] += judge.reached_at(view.told, changed[name]) > 0
    return Count(fleet.now, states, reports, reached, following, changed)


def is_shared(overlay: str) -> bool:
    """Whether an overlay is for more than one host: private/HOST is not."""
    return "/" not in overlay


def followed(view: SystemView, overlays: Mapping[str, float]) -> Iterable[str]:
    """The overlays of the store that a system follows."""
    return (name for name in dict.fromkeys(named_by(view.told)) if name in overlays)


def thinned(counts: Sequence[Count], now: float) -> list[Count]:
    """Those that are kept, the oldest first: the older, the fewer; of one time the last."""
    found: list[Count] = []
    for each in reversed(counts):
        step = next((step for age, step in _STEPS if now - each.at < age), None)
        if step is None:
            break
        if not found or found[-1].at - each.at >= step:
            found.append(each)
    return found[::-1]
