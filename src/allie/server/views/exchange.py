"""JSON of the fleet, for exchange with programs: one object, a line for each PC.

The names are stable: docs/reference/fleet.md has them. What is added makes no new format.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from allie.server.fleet.fleet import STATES, Concern, Fleet, Pc, SystemView
from allie.server.fleet.told import Told

FORMAT = 1


def lines(fleet: Fleet) -> Iterator[str]:
    """The text, line by line: a fleet of ten thousand is never one string."""
    counts = Counter(pc.state for pc in fleet.pcs)
    head = {
        "format": FORMAT,
        "now": fleet.now,
        "store": fleet.store,
        "counts": {state: counts[state] for state in STATES},
        "changed": dict(fleet.changed),
        "troubles": list(fleet.troubles),
    }
    yield _dumped(head)[:-1] + ', "pcs": ['
    for at, pc in enumerate(fleet.pcs, 1):
        yield _dumped(value_of(pc)) + ("," if at < len(fleet.pcs) else "")
    yield "]}"


def value_of(pc: Pc) -> dict[str, Any]:
    """One PC."""
    told = pc.told or Told(pc.host, 0.0)
    return {
        "host": pc.host,
        **of_concern(pc.worst, pc.host),
        "heard": pc.heard,
        "expected_by": pc.expected_by,
        "classes": pc.classes,
        "notes": told.notes,
        "name": told.name,
        "identity": told.identity,
        "clock_ahead": told.skew,
        "booted": told.booted,
        "next_tick": told.next_tick,
        "kernel": told.kernel,
        "rsync": told.rsync,
        "disk": told.disk,
        "free": told.free,
        "systems": [_system(pc, each) for each in pc.systems],
        "offers": [
            {"path": each.path, "overlay": each.overlay, "reason": each.reason, "at": each.at}
            for each in told.fixes
        ],
    }


def of_concern(concern: Concern, host: str) -> dict[str, Any]:
    """How something stands, since when, why, and what to do next about a host."""
    return {
        "state": concern.state,
        "since": concern.since,
        "why": concern.why,
        "todo": concern.todo(host),
    }


def _system(pc: Pc, view: SystemView) -> dict[str, Any]:
    told = view.told
    return {
        "system": told.name,
        **of_concern(view.worst, pc.host),
        "reached": view.reached,
        "is_so_now": view.is_so_now,
        "has": view.has,
        "drift": view.drift,
        "concerns": [of_concern(each, pc.host) for each in view.concerns],
        "image": told.image,
        "wanted": told.wanted,
        "version": told.version,
        "classes": told.classes,
        "overlays": told.overlays,
        "facts": told.facts._asdict(),
        "generation": told.generation,
        "tick": told.tick,
        "ticked": told.ticked,
        "paused": told.paused,
        "arriving": told.arriving,
        "trouble": told.trouble,
        "rolled_back": told.rolled_back,
        "store": told.contact._asdict(),
        "own": told.own._asdict(),
        "scripts": [each._asdict() for each in told.scripts],
        "problems": [each._asdict() for each in told.problems],
        "notes": told.notes,
        "changed": told.change._asdict(),
    }


def _dumped(value: Any) -> str:
    return json.dumps(value, allow_nan=False).replace("\x7f", "\\u007f")
