"""Real paths: which file of the overlays claims which path of this root, symlinks followed.

    Resolution + this root's symlinks  →  Claims

Two names in the overlays can be one file on this PC (`lib/x` and `usr/lib/x`); here that is
settled. Everything after this goes by real paths.

docs/internals/rules.md, "Symlinked parents are followed, never replaced", "Two names may be one
file" and "Two parts, two transactions".
"""

from __future__ import annotations

import os
import stat
from _collections_abc import Iterable

from allie.client.mirror.generation import Changes, Generation
from allie.client.situation.grounds import Resolved
from allie.core import tags
from allie.core.change.ledger import DIRECTORY, NOTHING, Ledger, Placed, inode_of
from allie.core.change.resolution import Entry, Problem, Resolution
from allie.core.errors import PathRefused
from allie.core.system import System
from allie.machine.files import tree
from allie.machine.mounts import user_mounts
from allie.machine.roots.paths import Inside, LinkBounds


class Claims:
    """The entries that win, by real path; and the paths that are left as they are."""

    def __init__(self) -> None:
        self.by_real: dict[str, Entry] = {}
        self.problems: list[Problem] = []
        self.left_alone: set[str] = set()
        self.overact: set[str] = set()  # real paths that some overlay spells with a tag

    def belongs(self, path: str, part: str) -> bool:
        """Whether a path, real or as an overlay spells it, is this part's to see to."""
        return (path in self.overact or tags.SIGN in path) == (part == "overact")


def claim(inside: Inside, resolution: Resolution, generation: Generation) -> Claims:
    """Give every winner its real path; two winners of one real path are settled."""
    claims = Claims()
    claims.overact = _real_paths_of(inside, resolution.tagged)
    order = {name: place for place, name in enumerate(generation.overlays)}
    for path, entry in resolution.entries.items():
        try:
            real = inside.directory(path).real if entry.is_dir else inside.entry(path)
        except PathRefused as refused:
            claims.problems.append(Problem(path, refused.message))
            claims.left_alone.add(path)
            continue
        rival = claims.by_real.get(real)
        if rival is None:
            claims.by_real[real] = entry
        else:
            _settle(real, rival, entry, order, claims)
    for problem in resolution.problems:
        claims.problems.append(problem)
        claims.left_alone.update(_real_paths_of(inside, [problem.path]))
    return claims


def as_spelled(inside: Inside, path: str, known: Resolved) -> str:
    """The overlays' own name for a path: they may say lib/x where people say usr/lib/x."""
    if path in known.resolution.entries:
        return path
    try:
        real = inside.entry(path)
    except PathRefused:
        return path
    entry = claim(inside, known.resolution, known.generation).by_real.get(real)
    return entry.path if entry else path


def inside_of(here: System, ledger: Ledger, known: Resolved) -> Inside:
    """The paths of this root: whose links are followed, and which places are not entered."""
    placed = ((real, each.content) for real, each in ledger.entries.items())
    links = {real: content[2:] for real, content in placed if content[:2] == "l:"}
    entries, trusted = known.resolution.entries, known.settings.trusted
    going = frozenset(real for real in links if real in entries and entries[real].is_dir)
    closed = user_mounts.closed_in(here.root)
    tops = _real_tops(Inside(here.root, LinkBounds(closed=closed)), trusted) if trusted else ()
    return Inside(here.root, LinkBounds(links, tops, closed, going))


def _real_tops(inside: Inside, trusted: tuple[str, ...]) -> tuple[str, ...]:
    """Trusted directories by their real paths, as far as the way to them is to be followed.

    trusted: absolute paths, as allie.conf has them.
    """
    found = []
    for path in trusted:
        try:
            found.append(inside.directory(path.strip("/")).real)
        except PathRefused:
            continue
    return tuple(found)


def _settle(real: str, one: Entry, other: Entry, order: dict[str, int], claims: Claims) -> None:
    """Two names, one file: the later overlay wins; within one overlay it is an error."""
    if order[one.overlay] != order[other.overlay]:
        winner = max(one, other, key=lambda entry: order[entry.overlay])
        claims.by_real[real] = winner
    elif one.is_dir and other.is_dir:
        claims.by_real[real] = one if one.path == real else other
    else:
        del claims.by_real[real]
        claims.left_alone.add(real)
        message = f"is one file on this PC, and two in overlay {one.overlay}: "
        claims.problems.append(Problem(real, f"{message}{one.spelling} and {other.spelling}"))


def withheld(ledger: Ledger, claims: Claims) -> set[str]:
    """The real paths of the ledger whose own name in the overlays cannot be followed just now.

    Where that name leads is not known, so nothing that came by it may be taken for withdrawn.
    """
    if not claims.left_alone:
        return set()
    spelled = ((real, placed.spelling) for real, placed in ledger.entries.items())
    return {real for real, spelling in spelled if tags.unspell(spelling)[0] in claims.left_alone}


def _real_paths_of(inside: Inside, paths: Iterable[str]) -> set[str]:
    """The real paths of these names, as files and as directories; the name where it has none."""
    found = set()
    for path in paths:
        try:
            found.add(inside.entry(path))
            found.add(inside.directory(path).real)
        except PathRefused:
            found.add(path)
    return found


def rekey(ledger: Ledger, claims: Claims, inside: Inside) -> Ledger:
    """The ledger by today's real paths: a directory may have become a symlink since.

    Only where all of today's way is root's: by his own link a user could pass off another's file
    as one that ALLiE placed. And only where the very file that we placed stands there: else
    somebody's would be taken for ours, and withdrawn. An entry that is there already stays.
    """
    moved = {}
    for real in ledger.entries.keys() - claims.by_real.keys():
        try:
            today = inside.entry(real)
            if today == real or today in ledger.entries or inside.parent(real).tainted:
                continue
            if _is_what_we_placed(ledger.entries[real], tree.status(inside.prefix + today)):
                moved[real] = today
        except (OSError, PathRefused):
            continue
    if not moved:
        return ledger
    entries = {moved.get(real, real): placed for real, placed in ledger.entries.items()}
    return ledger._replace(entries=entries)


def _is_what_we_placed(placed: Placed, st: os.stat_result | None) -> bool:
    """Whether what stands elsewhere is the very file, or directory, that the ledger has.

    One of the same content and time may be a package's, from which the overlay's was copied.
    """
    if st is None:
        return placed.content == NOTHING
    if inode_of(placed.seen) != st.st_ino:
        return False
    if placed.content == DIRECTORY:
        return stat.S_ISDIR(st.st_mode)  # its time changes with what is in it
    # An inode's number is given to another file as soon as it is free.
    return placed.seen.split(" ", 2)[2:] == tree.seen_of(st).split(" ", 2)[2:]


def vouch_for_overact(
    ledger: Ledger, generation: Generation, changes: Changes, claims: Claims, inside: Inside
) -> Ledger:
    """The ledger; it says that 01overact has all of this generation where nothing of that is new.

    Where all names are the same, the same variants win: none of those may be what changed.
    """
    behind = ledger.generations.get("overact", 0)
    if not behind or behind != changes.before or not changes.same_names:
        return ledger
    changed = [name.partition("/")[2] for name in changes.files]
    tagged = any(tags.SIGN in path for path in changed)
    if tagged or claims.overact & _real_paths_of(inside, changed):
        return ledger
    return ledger._replace(generations={**ledger.generations, "overact": generation.number})


def missing_above(here: System, claims: Claims, mine: tuple[str, ...]) -> list[str]:
    """Directories with variants that are to be made, since plain files are to come below them.

    Else 00overlay would make them without owner and mode, and 01overact take them for the PC's own.
    """
    return [
        real
        for real in claims.overact & claims.by_real.keys()
        if claims.by_real[real].is_dir
        and not os.path.lexists(here.at(real))
        and any(each.startswith(real + "/") for each in mine)
    ]
