"""Look: map the resolution onto this root, and describe what stands where it matters.

    Resolution + Ledger + root  →  Present

At an ordinary tick this is one lstat for each path and nothing more: where that lstat is the one
that the ledger vouches for, and the generation still has the same file, nothing is read.
Rules: RULES A6, A7, A9, B1, B4, B7, B8.
"""

from __future__ import annotations

import os
import stat

from allie.client import generation as generations
from allie.client.claims import Claims, claim, follow_on, links_to_go, rekeyed
from allie.client.generation import Changes, Generation
from allie.core.ledger import DIRECTORY, NOTHING, UNKNOWN, Ledger, Placed, inode_of, size_and_mtime
from allie.core.present import Offer, Present, Standing
from allie.core.resolution import Entry, Resolution
from allie.core.system import System
from allie.machine import mounts, tree
from allie.machine.paths import Inside

_WHOLE_TREE = 100 * 2**20  # bytes: a directory larger than this is never made absent


def look(
    here: System,
    part: str,
    generation: Generation,
    resolution: Resolution,
    ledger: Ledger,
    *,
    full: bool = False,
) -> Present:
    """Describe the root for one part. full: compare all by content, vouch for nothing."""
    inside = Inside(here.root, links_to_go(ledger, resolution))
    claims = claim(inside, resolution, generation)
    ledger = rekeyed(ledger, claims, inside)
    mine = tuple(sorted(real for real in claims.by_real if claims.belongs(real, part)))
    if part == "overlay":
        mine = tuple(sorted({*mine, *_missing_above(here, claims, mine)}))
    changes = generations.changes(generation)
    if part == "overlay":
        ledger = follow_on(ledger, generation, changes, claims, inside)
    view = _View(here, part, generation, ledger, claims, changes, full)
    view.look_at_claims(mine)
    view.look_at_the_rest()
    return Present(
        part=part,
        generation=generation.number,
        ledger=ledger,
        claims=claims.by_real,
        mine=mine,
        vouched=frozenset(view.vouched),
        standing=view.standing,
        offers=view.offers,
        groups=view.groups(mine),
        held=frozenset(claims.held),
        problems=tuple(each for each in claims.problems if claims.belongs(each.path, part)),
        consent=generation.consents,
        met={**inside.met, **view.met},
    )


def _missing_above(here: System, claims: Claims, mine: tuple[str, ...]) -> list[str]:
    """Directories with variants that are yet to be made, where plain files are to come below.

    rsync would make them bare, and 01overact then take them for the PC's own.
    """
    return [
        real
        for real in claims.overact & claims.by_real.keys()
        if claims.by_real[real].is_dir
        and not os.path.lexists(here.at(real))
        and any(each.startswith(real + "/") for each in mine)
    ]


class _View:
    """What is gathered while looking, path by path."""

    def __init__(
        self,
        here: System,
        part: str,
        generation: Generation,
        ledger: Ledger,
        claims: Claims,
        changes: Changes,
        full: bool,
    ) -> None:
        self.here = here
        self.part = part
        self.prefix = "/" if here.root == "/" else here.root + "/"
        self.generation = generation
        self.ledger = ledger
        self.claims = claims
        self.full = full
        self.changed = changes.since(generation, ledger.generations.get(part, 0))
        self.vouched: set[str] = set()
        self.standing: dict[str, Standing] = {}
        self.offers: dict[str, Offer] = {}
        self.met: dict[str, str] = {}

    def look_at_claims(self, mine: tuple[str, ...]) -> None:
        """Every path that this part is to see to; nearly all are vouched for by one lstat."""
        entries, by_real = self.ledger.entries, self.claims.by_real
        changed = self.changed
        trusts = changed is not None and not self.full
        for real in mine:
            entry, old = by_real[real], entries.get(real)
            st = tree.status(self.prefix + real)
            if (
                trusts
                and st
                and old
                and old.seen == tree.seen_of(st)
                and old.spelling == entry.spelling
                and old.overlay == entry.overlay
                and old.source
                and old.part == self.part
                and old.flag == entry.flag
                and not (changed and entry.source in changed)
            ):
                self.vouched.add(real)
            else:
                self._look_at_claim(real, entry, old, st)

    def _look_at_claim(
        self, real: str, entry: Entry, old: Placed | None, st: os.stat_result | None
    ) -> None:
        """A path that needs a second look."""
        if old is None and entry.is_dir and st and stat.S_ISDIR(st.st_mode):
            self.vouched.add(real)  # a directory that we did not make keeps what it has
            return
        if old and not self.full and self._untouched(old, st) and self._same_source(entry, old):
            self.vouched.add(real)
            return
        if entry.flag == "once" and st and (old is None or old.flag == "once"):
            self.vouched.add(real)  # it is the user's now
            self.met[real] = tree.seen_of(st)
            return
        offer = None
        if entry.flag != "absent":
            offer = self.offers[real] = self._offer(entry, old)
        self.standing[real] = self._standing(real, st, old, offer)

    def look_at_the_rest(self) -> None:
        """Paths to be withdrawn, tombstones, and what lies below a directory that must go."""
        entries = self.ledger.entries
        for real, old in entries.items():
            if old.part == self.part and real not in self.claims.by_real:
                self.standing[real] = self._standing(real, tree.status(self.prefix + real), old)
        for real, tombstone in self.ledger.tombstones.items():
            if tombstone.placed.part == self.part and real not in self.claims.by_real:
                self._look_at_tombstone(real, tombstone.placed)
        for top in [real for real, each in self.standing.items() if self._must_go(real, each)]:
            for real, old in entries.items():
                if real.startswith(top + "/") and real not in self.standing:
                    st = tree.status(self.prefix + real)
                    self.standing[real] = self._standing(real, st, old)

    def groups(self, mine: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        """Sets of paths that are one inode in the generation (RULES B8); variants join none."""
        if not any(tree.has_links(offer.path) for offer in self.offers.values()):
            return ()
        by_inode: dict[int, list[str]] = {}
        for real in mine:
            entry = self.claims.by_real[real]
            if entry.is_dir or entry.flag or entry.path != entry.spelling:
                continue
            offer = self.offers.get(real)
            source = offer.source if offer else self.ledger.entries[real].source
            if source:
                by_inode.setdefault(inode_of(source), []).append(real)
        found = tuple(tuple(group) for group in by_inode.values() if len(group) > 1)
        for real in [real for group in found for real in group if real not in self.offers]:
            old = self.ledger.entries[real]
            self.offers[real] = self._offer(self.claims.by_real[real], old)
        return found

    def _untouched(self, old: Placed, st: os.stat_result | None) -> bool:
        if st is None:
            return old.content == NOTHING
        return old.seen == tree.seen_of(st)

    def _same_source(self, entry: Entry, old: Placed) -> bool:
        """Whether the generation still offers exactly what the ledger says we placed."""
        if (old.overlay, old.spelling, old.flag) != (entry.overlay, entry.spelling, entry.flag):
            return False
        if old.part != self.part:
            return False
        if entry.flag:
            return True
        if not old.source:
            return False
        if self.changed is not None and entry.source not in self.changed:
            return True
        path = f"{self.generation.path}/{entry.source}"
        return bool(old.source == tree.source_of(path, os.lstat(path)))

    def _offer(self, entry: Entry, old: Placed | None) -> Offer:
        path = f"{self.generation.path}/{entry.source}"
        st = os.lstat(path)
        source = tree.source_of(path, st)
        known = old if old and old.source == source else None
        if known and not self.full:
            return Offer(path, source, known.content, known.attrs, st.st_size)
        # Attributes as they were placed: vfat holds no owners and modes (see confirm.as_held).
        attrs = known.attrs if known else tree.attributes_digest(path, st)
        content = tree.content_digest(path, st)
        return Offer(path, source, content, attrs, st.st_size)

    def _standing(
        self,
        real: str,
        st: os.stat_result | None,
        old: Placed | None,
        offer: Offer | None = None,
    ) -> Standing:
        if st is None:
            return Standing()
        path = self.prefix + real
        seen = tree.seen_of(st)
        if stat.S_ISDIR(st.st_mode):
            attrs = tree.attributes_digest(path, st)
            wanted_dir = offer is not None and offer.content == DIRECTORY
            goes_if_empty = offer is None and old is not None and old.pristine == NOTHING
            blocked = "" if wanted_dir or goes_if_empty else self._blocked(real)
            return Standing(DIRECTORY, attrs, seen, blocked=blocked)
        if old and old.seen == seen and not self.full:
            return Standing(old.content, old.attrs, seen, st.st_size)
        content, attrs = self._content(path, st, old, offer), tree.attributes_digest(path, st)
        strange = old is not None and content not in (old.content, offer.content if offer else "")
        packaged = strange and _installed(self.here, real)
        return Standing(content, attrs, seen, st.st_size, packaged=packaged)

    def _content(
        self, path: str, st: os.stat_result, old: Placed | None, offer: Offer | None
    ) -> str:
        """The digest, unless the size alone tells that it is neither ours nor what is wanted.

        What is taken over for the first time is read: should the tick be killed, it must be told
        from what was put there since.
        """
        sizes = [
            size_and_mtime(source)[0]
            for source in (old.source if old else "", offer.source if offer else "")
            if source
        ]
        if old and stat.S_ISREG(st.st_mode) and sizes and st.st_size not in sizes:
            return tree.of_size(st.st_size)
        return tree.content_digest(path, st)

    def _blocked(self, real: str) -> str:
        """Why a directory may not make way: the first thing in it that is not ours."""
        path = self.prefix + real
        entry = self.claims.by_real.get(real)
        absent = entry is not None and entry.flag == "absent"
        mounted = mounts.at_or_below(path)
        if mounted:
            return f"{mounted} is a mount point"
        size = 0
        for name, _ in tree.listing(path):
            size += os.lstat(f"{path}/{name}").st_size
            if not absent and f"{real}/{name}" not in self.ledger.entries:
                return f"{name} in it is not ALLiE's"
        return f"it holds {size >> 20} MiB" if size > _WHOLE_TREE else ""

    def _look_at_tombstone(self, real: str, placed: Placed) -> None:
        """Only a file that is ours to the second of its time came back; a new one is the user's."""
        st = tree.status(self.prefix + real)
        self.met[real] = tree.seen_of(st) if st else NOTHING
        if st is None or stat.S_ISDIR(st.st_mode) or not placed.source:
            return
        size, mtime = size_and_mtime(placed.source)
        if (st.st_size, st.st_mtime_ns // 10**9) == (size, mtime // 10**9):
            self.standing[real] = self._standing(real, st, placed)

    def _must_go(self, real: str, standing: Standing) -> bool:
        """Whether a directory is to make way for a file, of ours or the one that was before us."""
        if standing.content != DIRECTORY:
            return False
        offer, old = self.offers.get(real), self.ledger.entries.get(real)
        if offer:
            return offer.content != DIRECTORY
        withdrawn = real not in self.claims.by_real
        return withdrawn and old is not None and old.pristine not in (NOTHING, UNKNOWN)


def _installed(here: System, real: str) -> bool:
    """Whether a file that is neither ours nor wanted is the package manager's (RULES B2)."""
    from allie.client import packages  # noqa: PLC0415 - see HACKING.md, start-up

    return packages.installed(here, real)
