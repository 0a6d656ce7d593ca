"""Groups of PCs, as ClusterShell asks for them: @allie:failing, @allie:class.lab.

    all                   every PC that is expected
    attention             those of which one should look after something
    current, failing, …   those of which that holds (`standing.STATES`), whatever else does
    drift                 those on which something was changed by hand
    class.NAME, system.NAME

Pure. A group's name goes through a shell, and systems are named by reports: one that is no plain
word makes no group. docs/howto/many-at-once.md.
"""

from __future__ import annotations

from collections.abc import Mapping

from allie.core import globs
from allie.server.fleet.standing import ATTENTION, STATES, Pc

_ALWAYS = ("all", "attention", *STATES, "drift")  # also where nobody is in them


def of(pc: Pc) -> set[str]:
    """The groups that a PC is in."""
    states = {state for state in STATES if pc.stands(state)}
    found = {"all", *states}
    if states & set(ATTENTION):
        found.add("attention")
    if pc.drift:
        found.add("drift")
    found.update(f"class.{name}" for name in pc.classes if globs.is_word(name))
    names = (each.told.name for each in pc.systems)
    found.update(f"system.{name}" for name in names if globs.is_word(name))
    return found


def members(pcs: tuple[Pc, ...]) -> Mapping[str, list[str]]:
    """The hosts of each group, by its name."""
    found: dict[str, list[str]] = {name: [] for name in _ALWAYS}
    for pc in pcs:
        for group in of(pc):
            found.setdefault(group, []).append(pc.host)
    return found
