"""The resolution: for each path, which variant of which overlay wins, and why the others lost.

    listing of each overlay + Facts  →  Resolution

Within one overlay the tags choose; between overlays the later in the list wins.
It looks at names alone, not at what is in the files nor at what stands on the PC.
"""

from __future__ import annotations

from _collections_abc import Iterable, Sequence

from allie.core import forbidden_paths, tags
from allie.core.facts import Facts
from allie.core.value import Value

# Empty files at an overlay's top, by which somebody says that something is meant; never placed
CONSENT = ".allie-withdraw"  # that PCs lose many files
LARGE = ".allie-large"  # that the overlay has more names than MANY_NAMES
MANY_NAMES = 100_000
MOST_NAMES = 1_000_000  # an overlay with more is never taken


class Listed(Value):
    """One name in an overlay's tree: its path as spelled there, and whether it is a directory."""

    spelling: str
    is_dir: bool


class Overlay(Value):
    """One overlay's name and everything in its tree."""

    name: str
    listing: Sequence[Listed]


class Entry(Value):
    """The winner of one path."""

    path: str
    overlay: str
    spelling: str
    is_dir: bool
    flag: str = ""  # "", "absent" or "once"

    @property
    def source(self) -> str:
        """Where the winner stands below a generation (or below the store's overlays/)."""
        return f"{self.overlay}/{self.spelling}"


class Loser(Value):
    """A variant that does not win its path, and why."""

    path: str
    overlay: str
    spelling: str
    reason: str


class Problem(Value):
    """A path that is left as it is, and why. Reported; never placed, never withdrawn."""

    path: str
    message: str


class Resolution(Value):
    """Everything the overlays say about this system."""

    entries: dict[str, Entry]
    losers: tuple[Loser, ...]
    problems: tuple[Problem, ...]
    tagged: frozenset[str]  # paths that any overlay spells with a tag: they are 01overact's


class _Variant(Value):
    rank: tags.Rank
    entry: Entry


class _Unfinished:
    """The resolution in the making, while the overlays are laid one over the other."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.losers: list[Loser] = []
        self.problems: dict[str, str] = {}
        self.tagged: set[str] = set()

    def lose(self, entry: Entry, reason: str) -> None:
        self.losers.append(Loser(entry.path, entry.overlay, entry.spelling, reason))

    def drop_below(self, path: str, reason: str) -> None:
        """All below a path loses: a file takes the place of an earlier overlay's directory."""
        below = path + "/"
        for name in [name for name in self.entries if name.startswith(below)]:
            self.lose(self.entries.pop(name), reason)
        for name in [name for name in self.problems if name.startswith(below)]:
            del self.problems[name]

    def leave_disputed(self) -> None:
        """Take out the paths in dispute and what lies below them: they are left as they are."""
        for path in sorted(self.problems):
            self.entries.pop(path, None)
            below = path + "/"
            for name in [name for name in self.entries if name.startswith(below)]:
                del self.entries[name]
                self.problems[name] = f"left as it is: {path} is in dispute"


def resolve(overlays: Iterable[Overlay], facts: Facts) -> Resolution:
    """Choose the winner of each path; the overlays come in the order they are laid."""
    unfinished = _Unfinished()
    refused: list[Problem] = []
    for overlay in overlays:
        winners = _winners_within(overlay, facts, unfinished)
        for path in forbidden_paths.PLACES & winners.keys():
            why = forbidden_paths.wrong_kind(path, winners[path].is_dir)
            if why and winners[path].flag != "absent":
                refused.append(Problem(path, f"{winners.pop(path).source}: {why}"))
        for path in winners.keys() & (unfinished.entries.keys() | unfinished.problems.keys()):
            _lay_over(winners[path], unfinished)
        unfinished.entries.update(winners)
    unfinished.leave_disputed()
    return Resolution(
        unfinished.entries,
        tuple(unfinished.losers),
        (*refused, *(Problem(path, words) for path, words in sorted(unfinished.problems.items()))),
        frozenset(unfinished.tagged),
    )


def _lay_over(entry: Entry, unfinished: _Unfinished) -> None:
    """Note what loses to one overlay's winner of what the earlier overlays have."""
    earlier = unfinished.entries.get(entry.path)
    if earlier:
        shadowed = earlier.is_dir != entry.is_dir
        unfinished.lose(earlier, f"{'shadowed by' if shadowed else 'laid under'} {entry.overlay}")
    disputed = unfinished.problems.pop(entry.path, None)
    if not entry.is_dir and (disputed or (earlier and earlier.is_dir)):
        unfinished.drop_below(entry.path, f"shadowed by {entry.source}")


def _winners_within(overlay: Overlay, facts: Facts, unfinished: _Unfinished) -> dict[str, Entry]:
    """Each path's best variant within one overlay."""
    name = overlay.name
    winners = {}
    contested: dict[str, list[_Variant]] = {}
    for spelling, is_dir in overlay.listing:
        if tags.SIGN in spelling:
            candidate = _candidate(name, spelling, is_dir, facts, unfinished)
            if candidate:
                contested.setdefault(candidate.entry.path, []).append(candidate)
        else:
            winners[spelling] = Entry._make((spelling, name, spelling, is_dir, ""))
    for path, candidates in contested.items():
        if path in winners:
            candidates.append(_Variant(tags.DEFAULT_RANK, winners[path]))
        best = _best(candidates, unfinished)
        if best:
            winners[path] = best
        else:
            winners.pop(path, None)
    for ours in (CONSENT, LARGE):
        winners.pop(ours, None)
    return winners


def _candidate(
    overlay: str, spelling: str, is_dir: bool, facts: Facts, unfinished: _Unfinished
) -> _Variant | None:
    """A tagged name as a candidate for its path; None, and noted, where its tag does not fit."""
    path, tag = tags.unspell(spelling)
    unfinished.tagged.add(path)
    entry = Entry(
        path, overlay, spelling, is_dir, "" if is_dir and tag.flag == "once" else tag.flag
    )
    rank = tags.rank(tag, facts)
    if rank is None:
        unfinished.lose(entry, tags.failing(tag, facts))
        wrong = tags.parse_name(spelling).error
        if wrong:  # a slip of the pen, or a newer ALLiE's attribute: said once, at its own name
            unfinished.problems[spelling] = f"in overlay {overlay} it never fits: {wrong}"
        return None
    # A directory tagged absent is a statement about the path, not a directory to make.
    return _Variant(rank, entry._replace(is_dir=is_dir and tag.flag != "absent"))


def _best(candidates: list[_Variant], unfinished: _Unfinished) -> Entry | None:
    """The winner of one path within one overlay; None, with a problem noted, if there is none."""
    candidates.sort(key=lambda each: (tuple(-n for n in each.rank), each.entry.spelling))
    first, rest = candidates[0], candidates[1:]
    kinds = {each.entry.is_dir for each in candidates}
    path = first.entry.path
    wrong = ""
    if len(kinds) > 1:
        wrong = _both("is a directory and a file in one overlay", candidates)
    elif rest and rest[0].rank == first.rank and not first.entry.is_dir:
        tied = [each for each in candidates if each.rank == first.rank]
        wrong = _both("is a tie between", tied)
    if wrong:
        unfinished.problems[path] = wrong
        for each in candidates:
            unfinished.lose(each.entry, "in dispute")
        return None
    for each in rest:
        unfinished.lose(each.entry, tags.explain(first.rank, each.rank))
    return first.entry


def _both(what: str, candidates: list[_Variant]) -> str:
    return f"{what}: " + " and ".join(each.entry.source for each in candidates)
