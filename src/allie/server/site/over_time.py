"""How the fleet stood, as three pictures are drawn of it: states, reports, and roll-outs. Pure.

Counts, as they were noted  →  a bounded number of points in columns
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from allie.server.fleet.fleet import STATES
from allie.server.history.notes import Count

SHOWN = 7 * 24 * 3600.0  # seconds
_POINTS, _ROLL_OUTS, _STEPS = 336, 4, 120


def pictures(
    counts: Sequence[Count], changed: Mapping[str, float], pcs: int, now: float
) -> dict[str, Any]:
    """What is drawn. counts: oldest first; pcs: how many there are; now: since the epoch."""
    recent = [each for each in counts if now - SHOWN <= each.at <= now]
    points = _thinned(recent, _POINTS)
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
        "pcs": pcs,
        "rollouts": [each for each in roll_outs if each][:_ROLL_OUTS],
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
    """How an overlay's last change arrived at one PC after the other."""
    points = [each for each in counts if each.at >= at and overlay in each.reached]
    if not points:
        return None
    thin = _thinned(points, _STEPS)
    return {
        "overlay": overlay,
        "changed": int(at),
        "at": [int(each.at) for each in thin],
        "reached": [each.reached[overlay] for each in thin],
    }
