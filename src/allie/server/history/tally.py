"""How the fleet stood, look by look, and how far each change of an overlay had come. Pure.

Fleet  →  Count         all Counts  →  Rollout of each overlay
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from allie.core.stubs import KIT
from allie.core.value import Value
from allie.server.fleet.fleet import STATES, Fleet, SystemView
from allie.server.fleet.overlay_changes import COMMON

_HOUR, _DAY = 3600.0, 86400.0
OFTEN = 60  # seconds: what is looked at more often is counted once
# Kept are of the last two days all counts, of five weeks one an hour, of two years four a day
_STEPS = ((2 * _DAY, 0.0), (35 * _DAY, _HOUR), (730 * _DAY, 6 * _HOUR))


class Count(Value):
    """How the fleet stood at a time."""

    at: float
    states: Mapping[str, int]  # PCs by state
    reports: int  # that arrived in the hour before
    reached: Mapping[str, int] = {}
    following: Mapping[str, int] = {}
    changed: Mapping[str, float] = {}


class Rollout(Value):
    """How the last change of an overlay came to the systems that follow it."""

    overlay: str
    changed: float  # when it was made
    following: int  # how many systems follow the overlay now
    steps: tuple[tuple[float, int], ...]  # (when, how many had it), the oldest first


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
                reached[name] += view.told.contact.good >= changed[name]
    return Count(fleet.now, states, reports, reached, following, changed)


def is_shared(overlay: str) -> bool:
    """Whether an overlay is for more than one host: private/HOST is not."""
    return "/" not in overlay


def followed(view: SystemView, overlays: Mapping[str, float]) -> Iterable[str]:
    """The overlays of the store that a system follows."""
    said = view.told.overlays or (KIT, COMMON, view.told.image)
    return (name for name in dict.fromkeys(said) if name in overlays)


def rollouts(counts: Sequence[Count]) -> list[Rollout]:
    """How the last change of each overlay came to where it is, the newest change first."""
    if not counts:
        return []
    found = []
    for name, changed in counts[-1].changed.items():
        steps: list[tuple[float, int]] = []
        for each in counts:
            number = each.reached.get(name, 0)
            if each.changed.get(name) == changed and (not steps or steps[-1][1] != number):
                steps.append((each.at, number))
        found.append(Rollout(name, changed, counts[-1].following.get(name, 0), tuple(steps)))
    return sorted(found, key=lambda each: -each.changed)


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
