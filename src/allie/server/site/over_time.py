"""How the fleet stood, and what became of it lately: pictures of a week, and the newest events.

    Counts, as they were noted  →  a bounded number of points in columns
    Events                      →  equal ones of many PCs as one

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from allie.server.fleet.fleet import STATES
from allie.server.history.folded import folded
from allie.server.history.notes import Count, Event

SHOWN = 7 * 24 * 3600.0  # seconds
_POINTS, _ROLL_OUTS, _STEPS = 336, 4, 120
_EVENTS, _LATELY = 5000, 40  # that are folded; that are shown


def pictures(counts: Sequence[Count], events: Iterable[Event], now: float) -> dict[str, Any]:
    """What is drawn. counts: oldest first; events: newest first; now: seconds since the epoch."""
    recent = [each for each in counts if now - SHOWN <= each.at <= now]
    points = _thinned(recent, _POINTS)
    changed = recent[-1].changed if recent else {}
    newest = sorted(changed.items(), key=lambda item: (-item[1], item[0]))
    roll_outs = (_roll_out(recent, overlay, at) for overlay, at in newest if at > now - SHOWN)
    return {
        "at": [int(each.at) for each in points],
        "states": {
            state: [each.states.get(state, 0) for each in points]
            for state in STATES
            if any(each.states.get(state) for each in points)
        },
        "reports": [each.reports for each in points],
        "rollouts": [each for each in roll_outs if each][:_ROLL_OUTS],
        "lately": [
            [int(each.last), each.hosts, each.number, each.system, each.what]
            for each in folded(islice(events, _EVENTS))[:_LATELY]
        ],
    }


def _thinned(counts: Sequence[Count], most: int) -> list[Count]:
    """So many of them at most, evenly over time; the last one always."""
    if len(counts) <= most:
        return [*counts]
    first, last = counts[0].at, counts[-1].at
    step = (last - first) / (most - 1) or 1
    found: dict[int, Count] = {}
    for each in counts:
        found[int((each.at - first) / step)] = each  # the last one in each step of time
    return [*found.values()]


def _roll_out(counts: Sequence[Count], overlay: str, at: float) -> dict[str, Any] | None:
    """How an overlay's last change arrived at one system after the other; None: it has nobody."""
    points = [each for each in counts if each.changed.get(overlay) == at]
    following = points[-1].following.get(overlay, 0)
    if not following:
        return None
    thin = _thinned(points, _STEPS)
    return {
        "overlay": overlay,
        "changed": int(at),
        "following": following,
        "at": [int(each.at) for each in thin],
        "reached": [each.reached.get(overlay, 0) for each in thin],
    }
