"""Look at this root: describe what stands at each path that the overlays or the ledger name.

    Resolution + Ledger + root  →  Present

Nearly every path takes one lstat: where that is as the ledger has it, and the generation has the
same file still, nothing is read.
docs/internals/rules.md, "What vouches for a file" and "Hard links go together".
"""

from __future__ import annotations

import os
import stat
from _collections_abc import Iterator

from allie.client.apply import real_paths
from allie.client.apply.describe import Describer
from allie.client.mirror import generation as generations
from allie.client.mirror.generation import Changes, Generation
from allie.client.situation.grounds import Resolved
from allie.core import stubs
from allie.core.change import staying
from allie.core.change.ledger import (
    DIRECTORY,
    NOTHING,
    UNKNOWN,
    Ledger,
    Placed,
    inode_of,
    size_and_mtime,
)
from allie.core.change.present import Offer, Present, Standing
from allie.core.change.resolution import Entry, Problem
from allie.core.conf.settings import PRIVATE
from allie.core.errors import PathRefused
from allie.core.lean import contextmanager
from allie.core.system import System
from allie.machine.files import tree
from allie.machine.roots.reach import Reach


def look(
    here: System, part: str, known: Resolved, ledger: Ledger, *, full: bool = False
) -> Present:
    """Describe the root for one part. full: compare all by content, vouch for nothing."""
    generation, settings = known.generation, known.settings
    inside = real_paths.inside_of(here, ledger, known)
    claims = real_paths.claim(inside, known.resolution, generation)
    ledger = real_paths.rekey(ledger, claims, inside)
    mine = tuple(sorted(real for real in claims.by_real if claims.belongs(real, part)))
    changes = generations.changes(generation)
    if part == "overlay":
        mine = tuple(sorted({*mine, *real_paths.missing_above(here, claims, mine)}))
        ledger = real_paths.vouch_for_overact(ledger, generation, changes, claims, inside)
    with Reach(here.root) as reach:
        describe = Describer(here, ledger, claims, inside, reach, full)
        view = _Looking(part, generation, changes, describe)
        view.look_at_claims(mine)
        view.look_at_the_rest()
    mine = tuple(real for real in mine if real not in view.unseen and not view.is_shut_in(real))
    problems = [each for each in claims.problems if claims.belongs(each.path, part)]
    problems += [Problem(real, words) for real, words in view.unseen.items()]
    all_paths = {*claims.by_real, *ledger.entries} if view.shut else ()
    shut_in = {real for real in all_paths if view.is_shut_in(real)}
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
        left_alone=frozenset(claims.left_alone | view.withheld | view.unseen.keys() | shut_in),
        problems=tuple(problems),
        consent=generation.consents,
        released=frozenset(generation.overlays if settings.ring else ()) - {stubs.KIT, PRIVATE},
        met={**inside.met, **view.met},
        today=describe.today,
        renewals=describe.renewals,
    )


class _Looking:
    """What is gathered while looking, path by path."""

    def __init__(
        self, part: str, generation: Generation, changes: Changes, describe: Describer
    ) -> None:
        self.part = part
        self.generation = generation
        self.describe = describe
        self.here, self.inside, self.reach = describe.here, describe.inside, describe.reach
        self.ledger, self.claims, self.full = describe.ledger, describe.claims, describe.full
        self.changed = changes.since(generation, self.ledger.generations.get(part, 0))
        self.spelled = {name.partition("/")[2] for name in self.changed or ()}
        self.unseen: dict[str, str] = {}  # what cannot be looked at, or is refused, and why
        self.vouched: set[str] = set()
        self.standing: dict[str, Standing] = {}
        self.offers: dict[str, Offer] = {}
        self.some_linked = False  # whether any of them has another name in the generation
        self.met: dict[str, str] = {}
        self.withheld = real_paths.withheld(self.ledger, self.claims)
        self.shut = self._shut()

    def _shut(self) -> tuple[str, ...]:
        """Directories that the overlays close to others, where another one stands that is open.

        A user has put it there: what is to lie in it, and perhaps is readable by itself, would lie
        open to him. So neither it nor anything below it is placed. Raises nothing: it is noted.
        """
        found = []
        for real, entry in self.claims.by_real.items():
            if entry.is_dir and not entry.flag and self.describe.is_below_taint(real):
                with self._noting(real):
                    why = self.describe.why_open(real, f"{self.generation.path}/{entry.source}")
                    if why and self.claims.belongs(real, self.part):
                        self.unseen[real] = why
                    found += [real] if why else []
        return tuple(found)

    def is_shut_in(self, real: str) -> bool:
        """Whether a path is, or lies in, one of those directories."""
        return any(f"{real}/".startswith(f"{each}/") for each in self.shut)

    def look_at_claims(self, mine: tuple[str, ...]) -> None:
        """Every path that this part is to see to; for nearly all of them one lstat will do."""
        entries, by_real, prefix = self.ledger.entries, self.claims.by_real, self.inside.prefix
        for real in mine:
            if self.shut and self.is_shut_in(real):
                continue
            entry, old = by_real[real], entries.get(real)
            try:
                # By its path, and so of whatever stands there now: it may be something else when
                # it comes to be used, which is for those to see who use it.
                st = None if self.describe.comes_anew(real) else tree.status(prefix + real)
                if old and not self.full and self._is_as_placed(entry, old, st):
                    self.vouched.add(real)
                else:
                    self._look_at_claim(real, entry, old, st)
            except (OSError, PathRefused) as error:
                self._note(real, error)

    @contextmanager
    def _noting(self, real: str) -> Iterator[None]:
        """Note what cannot be looked at; all other paths go on."""
        try:
            yield
        except (OSError, PathRefused) as error:
            self._note(real, error)

    def _note(self, real: str, error: OSError | PathRefused) -> None:
        if isinstance(error, PathRefused):
            self.unseen[real] = error.message
        else:
            self.unseen[real] = f"cannot be looked at: {error.strerror}"

    def _look_at_claim(
        self, real: str, entry: Entry, old: Placed | None, st: os.stat_result | None
    ) -> None:
        """A path that is not as the ledger has it."""
        if old is None and entry.is_dir and st and stat.S_ISDIR(st.st_mode):
            self.vouched.add(real)  # a directory that we did not make keeps what it has
            return
        if entry.flag == "once" and st and (old is None or old.flag == "once"):
            self.vouched.add(real)  # it is the user's now
            self.met[real] = tree.seen_of(st)
            return
        offer = None
        if entry.flag != "absent":
            offer = self.offers[real] = self._offer(entry, old)
        self.standing[real] = self.describe.standing(real, st, old, offer)

    def look_at_the_rest(self) -> None:
        """Paths to be withdrawn, tombstones, and what lies below a directory that must go."""
        entries = self.ledger.entries
        for real, old in staying.unclaimed(self.part, entries, self.claims.by_real).items():
            if real not in self.withheld:
                with self._noting(real):
                    self._look_at_old(real, old)
        for real, tombstone in self.ledger.tombstones.items():
            if tombstone.placed.part == self.part and real not in self.claims.by_real:
                with self._noting(real):
                    self._look_at_tombstone(real, tombstone.placed)
        self.describe.ask_packages(self.standing)
        for top in [real for real, each in self.standing.items() if self._must_go(real, each)]:
            for real, old in entries.items():
                if real.startswith(top + "/") and real not in self.standing:
                    with self._noting(real):
                        self._look_at_old(real, old)

    def _look_at_old(self, real: str, old: Placed) -> None:
        """A path that no overlay has any more. A symlink may have come into the way to it since."""
        if self.inside.entry(real) != real:
            astray = "a symlink is on its way now"
            self.standing[real] = Standing(astray=astray)
            return
        standing = self.describe.standing(real, self.reach.status(real), old)
        above = self.here.at(real.rpartition("/")[0])
        if standing.content == NOTHING and old.pristine != NOTHING and not os.path.lexists(above):
            standing = standing._replace(astray="the directory in which it stood is gone")
        self.standing[real] = standing

    def groups(self, mine: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        """Sets of paths that are one inode in the generation; variants join none."""
        if not self.some_linked:
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

    def _is_as_placed(self, entry: Entry, old: Placed, st: os.stat_result | None) -> bool:
        """Whether what stands there, and what the generation offers, are as the ledger has them."""
        if old.seen != tree.seen_of(st) if st else old.content != NOTHING:
            return False
        if old.spelling != entry.spelling or old.overlay != entry.overlay:
            return False
        if old.flag != entry.flag or old.part != self.part:
            return False
        if entry.flag or not old.source:
            return bool(entry.flag)
        if self.changed is not None and entry.spelling not in self.spelled:
            return True  # whatever overlay it is of
        path = f"{self.generation.path}/{entry.source}"
        return bool(old.source == tree.source_of(path, os.lstat(path)))

    def _offer(self, entry: Entry, old: Placed | None) -> Offer:
        path = f"{self.generation.path}/{entry.source}"
        st = os.lstat(path)
        self.some_linked |= st.st_nlink > 1 and not stat.S_ISDIR(st.st_mode)
        source = tree.source_of(path, st)
        known = old if old and old.source == source else None
        if known and not self.full:
            return Offer(path, source, known.content, known.attrs, st.st_size)
        if known:
            # Attributes as they were placed: vfat holds no owners and modes (see verify.as_stored).
            return Offer(path, source, tree.content_digest(path, st), known.attrs, st.st_size)
        return Offer(path, source, *tree.digests(path, st), st.st_size)

    def _look_at_tombstone(self, real: str, placed: Placed) -> None:
        """Only a file that is ours to the second of its time came back; a new one is the user's.

        A directory is ours if it is the very one.
        """
        there = self.inside.entry(real) == real and not self.describe.comes_anew(real)
        st = self.reach.status(real) if there else None
        self.met[real] = tree.seen_of(st) if st else NOTHING
        if st is None or not placed.source or stat.S_ISDIR(st.st_mode):
            if st and placed.content == DIRECTORY and inode_of(placed.seen) == st.st_ino:
                self.standing[real] = self.describe.standing(real, st, placed)
            return
        size, mtime = size_and_mtime(placed.source)
        if (st.st_size, st.st_mtime_ns // 10**9) == (size, mtime // 10**9):
            self.standing[real] = self.describe.standing(real, st, placed)

    def _must_go(self, real: str, standing: Standing) -> bool:
        """Whether a directory is to make way for a file, of ours or the one that was before us."""
        if standing.content != DIRECTORY:
            return False
        offer, old = self.offers.get(real), self.ledger.entries.get(real)
        if offer:
            return offer.content != DIRECTORY
        withdrawn = real not in self.claims.by_real
        return withdrawn and old is not None and old.pristine not in (NOTHING, UNKNOWN)
