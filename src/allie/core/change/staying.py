"""Staying: of what no overlay has any more, what is not to be removed, or not yet. Pure."""

from __future__ import annotations

from _collections_abc import Iterable, Mapping

from allie.core import forbidden_paths, stubs
from allie.core.change.ledger import DIRECTORY, PARTS, Placed
from allie.core.change.present import Present
from allie.core.change.resolution import CONSENT, Entry, Problem

_MANY = 10  # files; no more than this are withdrawn without asking
_NO_KIT = (
    "stays, with all of the kit: the overlays that came bring no kit that could fetch anything"
    " again; put `kit` back into the list of overlays, and its files into the store"
)


def unclaimed(
    part: str, entries: Mapping[str, Placed], claims: Mapping[str, Entry]
) -> dict[str, Placed]:
    """What a part has placed and no overlay has any more, by real path.

    For the last part also the directories above that the other part has made: if this one empties
    them, nobody comes after it who would remove them.
    """
    own = {real: old for real, old in entries.items() if old.part == part and real not in claims}
    if own and part == PARTS[-1]:
        for real in _above(own) - claims.keys():
            if real in entries and entries[real].content == DIRECTORY:
                own[real] = entries[real]
    return own


def kept_back(going: Mapping[str, Placed], present: Present) -> tuple[set[str], list[Problem]]:
    """Of the paths to be withdrawn those that stay for now, and what is to be said of them.

    going: by real path, what the ledger has.
    """
    if not going:
        return set(), []
    kit = _kit(going, present)
    stays = kit | _waiting(going.keys() - kit, present.ledger.entries)
    first = min(kit & {*forbidden_paths.NEEDED} or kit, default="")
    return stays, [Problem(first, _NO_KIT)] if kit else []


def guarded(
    going: Mapping[str, Placed], lost: set[str], present: Present
) -> tuple[dict[str, str], list[Problem]]:
    """What stays though withdrawn, by its overlay: so many files would go that it may be a slip.

    lost: the paths that would really go. Only those count, and stay, whose overlay has not said
    that it is meant. An overlay speaks for itself alone; publishing a release is saying so.
    """
    meant = present.consent | present.released
    kept = {real: old.overlay for real, old in going.items() if old.overlay not in meant}
    files = sorted(real for real in kept.keys() & lost if going[real].content != DIRECTORY)
    had = sum(1 for placed in present.ledger.entries.values() if placed.content != DIRECTORY)
    if not are_many(len(files), had):
        return {}, []
    touch = " ".join(f"overlays/{each}/{CONSENT}" for each in sorted({*kept.values()}))
    words = f"and {len(files) - 1} more would be withdrawn, more than half of all: nothing is"
    return kept, [Problem(files[0], f"{words}. If it is meant: touch {touch}")]


def are_many(lost: int, had: int) -> bool:
    """Whether to lose so many of all files is more likely a slip than meant."""
    return lost > _MANY and lost * 2 > had


def _kit(going: Mapping[str, Placed], present: Present) -> set[str]:
    """The kit's paths, where the overlays bring no kit that works any more.

    They stay: without them the PC could never fetch again, also not after the slip was mended. A
    kit that works, and no longer has one of its other files, loses just that.
    """
    ours = {real for real, placed in going.items() if placed.overlay == stubs.KIT}
    if not ours:
        return ours
    brought = {entry.path for entry in present.claims.values() if not entry.flag}
    return set() if brought.issuperset(forbidden_paths.NEEDED) else ours


def _waiting(going: set[str], entries: Mapping[str, Placed]) -> set[str]:
    """The directories in which something of ours stays for now, mostly the other part's."""
    found = going & _above(entries.keys() - going)
    return {real for real in found if real in entries and entries[real].content == DIRECTORY}


def _above(reals: Iterable[str]) -> set[str]:
    """All directories above some paths."""
    found: set[str] = set()
    for real in reals:
        while "/" in real:
            real = real.rpartition("/")[0]
            found.add(real)
    return found
