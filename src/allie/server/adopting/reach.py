"""Reach: which hosts have one file of an overlay at a path, and so get what it becomes.

    the names near that path in all overlays, what hosts told of themselves  →  Reached

A host's overlays, image, classes and other facts are those of its last report. Where a tag asks
for one that it does not tell (of an older ALLiE, or another system of the PC): that is told apart.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from allie.core import tags
from allie.core.change import resolution
from allie.core.change.hand_fix import HandFix
from allie.core.change.resolution import Listed, Overlay
from allie.core.conf.settings import PRIVATE
from allie.core.facts import Facts
from allie.core.value import Value
from allie.server import overlays
from allie.server.fleet.fleet import Fleet
from allie.server.fleet.told import ToldSystem

_TOLD_LATELY = ("distro", "version", "arch", "virt")
YES, PERHAPS, NO = "yes", "perhaps", "no"


class Reached(Value):
    """The hosts that a file of an overlay reaches."""

    certain: tuple[str, ...]
    perhaps: tuple[str, ...]  # a tag asks for what their report does not tell
    silent: tuple[str, ...]  # these have never told what they follow


def reached(fleet: Fleet, fix: HandFix) -> Reached:
    """Whom a fix would reach, if the file that it is for became it."""
    near = _Near(fleet.store, fix.path)
    found: dict[str, list[str]] = {YES: [], PERHAPS: [], NO: []}
    known: dict[tuple[object, ...], str] = {}
    silent = []
    for pc in fleet.pcs:
        systems = pc.told.systems if pc.told else ()
        if not systems:
            silent.append(pc.host)
            continue
        answers = {_asked(near, fix, pc.host, each, known) for each in systems}
        found[next(each for each in (YES, PERHAPS, NO) if each in answers)].append(pc.host)
    return Reached(tuple(found[YES]), tuple(found[PERHAPS]), tuple(silent))


class _Near:
    """What overlays have at one path, and at the directories above it."""

    def __init__(self, store: str, path: str) -> None:
        self._store = store
        parts = path.split("/")
        self._paths = {"/".join(parts[: count + 1]) for count in range(len(parts))}
        self._known: dict[str, Overlay] = {}

    def laid(self, names: Iterable[str], host: str) -> Iterator[Overlay]:
        """These overlays in turn; of those that the store has."""
        for name in names:
            place = f"{PRIVATE}/{host}" if name == PRIVATE else name
            if place not in self._known:
                self._known[place] = Overlay(name, self._listing(place))
            yield self._known[place]

    def _listing(self, place: str) -> list[Listed]:
        top = f"{self._store}/{overlays.place(place)}"
        if not os.path.isdir(top):
            return []
        listing = overlays.load(self._store, place).listing
        return [each for each in listing if tags.unspell(each.spelling)[0] in self._paths]


def _asked(
    near: _Near, fix: HandFix, host: str, system: ToldSystem, known: dict[tuple[object, ...], str]
) -> str:
    """Whether one system of a host has the file there. known: what was answered before."""
    if fix.overlay not in system.overlays:
        return NO
    laid = [*near.laid(system.overlays, host)]
    short, dot, _ = host.partition(".")
    image = system.wanted or system.image  # as tags ask for it
    facts = Facts(short, host if dot else "", system.classes, image, *system.facts)
    asks_host = any("host." in each.spelling for overlay in laid for each in overlay.listing)
    mine = host if asks_host or any(each.name == PRIVATE and each.listing for each in laid) else ""
    key = (system.overlays, system.classes, image, system.facts, mine)
    if key not in known:
        known[key] = _answer(laid, fix, facts)
    return known[key]


def _answer(laid: list[Overlay], fix: HandFix, facts: Facts) -> str:
    winner = resolution.resolve(laid, facts).entries.get(fix.path)
    wins = winner is not None and (winner.overlay, winner.spelling) == (fix.overlay, fix.spelling)
    tag = tags.unspell(fix.spelling)[1]
    untold = _TOLD_LATELY if not facts.arch else () if facts.virt else ("virt",)
    told = frozenset(each for each in tag.conditions if each.attribute not in untold)
    if tags.failing(tag._replace(conditions=told), facts):
        return NO
    if told != tag.conditions:
        return PERHAPS
    others = (tags.unspell(each.spelling)[1] for overlay in laid for each in overlay.listing)
    if any(each.attribute in untold for other in others for each in other.conditions):
        return PERHAPS if wins else NO
    return YES if wins else NO
