"""Who has a conf script in which state: satisfied at last word, and so now, as far as one knows."""

from __future__ import annotations

from allie.core.script import LOOKS
from allie.machine.console import paint
from allie.server.fleet.fleet import Fleet, Pc
from allie.server.fleet.standing import ending
from allie.server.fleet.told import ToldScript
from allie.server.views import words

ORDER = ("failing", "waiting", "due", "test", "satisfied", "none")
_SILENT = ("missing", "stale", "off")  # of these nobody knows how it is now
_LINES = 3


def lines(fleet: Fleet, name: str) -> list[str]:
    """The view: a line for each state and end, then the last lines of those that fail."""
    found: dict[tuple[str, str, str], list[tuple[Pc, ToldScript | None]]] = {}
    for pc in fleet.pcs:
        for view in pc.systems:
            script = next((one for one in view.told.scripts if one.name == name), None)
            state = script.state if script else "none"
            end = ending(script) if script and state == "failing" else ""
            found.setdefault((state, view.told.name, end), []).append((pc, script))
    shown = [f"{'STATE':<10} {'REACHED':>7} {'NOW':>7}  {'SYSTEM':<14} HOSTS"]
    for key in sorted(found, key=lambda key: (ORDER.index(key[0]), -len(found[key]), key)):
        shown += _group(key, found[key], fleet.now)
    return shown


def failing(fleet: Fleet, name: str) -> bool:
    """Whether it fails on one of them."""
    told = (each.told for pc in fleet.pcs for each in pc.systems)
    return any(one.name == name and one.state == "failing" for each in told for one in each.scripts)


def _group(
    key: tuple[str, str, str], together: list[tuple[Pc, ToldScript | None]], now: float
) -> list[str]:
    state, system, end = key
    done = state == "satisfied"
    once = len(together) if done else 0
    so_now = sum(pc.state not in _SILENT for pc, _ in together) if done else 0
    first, *more = words.wrapped((pc.host for pc, _ in together), 36)
    counts = f"{once or '-':>7} {so_now or '-':>7}"
    found = [f"{paint(f'{state:<10}', LOOKS.get(state, 'dim'))} {counts}  {system:<14} {first}"]
    found += [f"{'':43}{line}" for line in more]
    scripts = [script for _, script in together if script]
    if end:
        spans = words.spans([each.since for each in scripts], now)
        found.append(f"  {end} {spans}")
    lasts = dict.fromkeys(each.last for each in scripts if each.last and not done)
    for last in [*lasts][:_LINES]:
        told = [line for line in last.split("\n") if line.strip()][-_LINES:]
        found += [paint(f"  | {line[:75]}", "dim") for line in told]
    return found
