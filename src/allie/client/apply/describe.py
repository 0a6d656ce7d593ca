"""Describe what stands at one path of the root, as far as a plan needs to know it.

What may be a user's is read with limits: he could make it large, deep, or never ending.

docs/internals/packages.md.
"""

from __future__ import annotations

import os
import stat

from allie.client.apply.real_paths import Claims
from allie.core.change.ledger import DIRECTORY, NOTHING, Ledger, Placed, size_and_mtime
from allie.core.change.present import Offer, Standing
from allie.core.errors import PathRefused
from allie.core.system import System
from allie.machine.files import tree
from allie.machine.files.directory_identity import mark_at
from allie.machine.mounts import mount_table
from allie.machine.roots import paths
from allie.machine.roots.paths import Inside
from allie.machine.roots.reach import MOST_READ, Reach

_WHOLE_TREE = 100 * 2**20  # bytes: a directory larger than this is never made absent


class Describer:
    """Describes paths of one root. full: compare all by content, whatever the ledger says."""

    def __init__(
        self, here: System, ledger: Ledger, claims: Claims, inside: Inside, reach: Reach, full: bool
    ) -> None:
        self.here = here
        self.ledger = ledger
        self.claims = claims
        self.inside = inside
        self.reach = reach
        self.full = full
        # Of paths that are to be withdrawn, what comes back of packages by now: see `Present`.
        self.today: dict[str, Placed] = {}
        self.renewals: dict[str, str] = {}

    def standing(
        self, real: str, st: os.stat_result | None, old: Placed | None, offer: Offer | None = None
    ) -> Standing:
        """What stands at a real path. st: its lstat. Raises PathRefused, OSError."""
        if st is None:
            return Standing()
        path = self.reach.path(real)
        seen = tree.seen_of(st)
        if stat.S_ISDIR(st.st_mode):
            attrs = tree.attributes_digest(path, st)
            wanted_dir = offer is not None and offer.content == DIRECTORY
            goes_if_empty = offer is None and old is not None and old.pristine == NOTHING
            blocked = "" if wanted_dir or goes_if_empty else self._blocked(real)
            foreign = old is not None and self._is_another(real, path, old, attrs)
            return Standing(DIRECTORY, attrs, seen, blocked=blocked, foreign=foreign)
        if old and old.seen == seen and not self.full:
            return Standing(old.content, old.attrs, seen, st.st_size)
        content, attrs = self._content(real, st, old, offer), tree.attributes_digest(path, st)
        strange = old is not None and content not in (old.content, offer.content if offer else "")
        packaged = strange and _installed(self.here, real, path)
        return Standing(content, attrs, seen, st.st_size, packaged=packaged)

    def _is_another(self, real: str, path: str, old: Placed, attrs: str) -> bool:
        """Whether others have swapped a directory that ALLiE made for one with other attributes."""
        if old.content != DIRECTORY or attrs == old.attrs or not self.is_below_taint(real):
            return False
        return self.ledger.marks.get(real) != mark_at(path)

    def ask_packages(self, standing: dict[str, Standing]) -> None:
        """Ask what packages have by now at paths where something is to come back."""
        entries, by_real = self.ledger.entries, self.claims.by_real
        going = {
            real: entries[real]
            for real in standing.keys() & entries.keys()
            if real not in by_real and entries[real].content != DIRECTORY
        }
        if not going:
            return
        from allie.client.originals import packages  # noqa: PLC0415 - see HACKING.md, start-up

        self.today, self.renewals, stays = packages.today(self.here, self.reach, going)
        for real in stays:
            astray = "it is the file of its package now"
            standing[real] = standing[real]._replace(astray=astray)

    def comes_anew(self, real: str) -> bool:
        """Whether a path is below a link that gives way to a directory: nothing is there yet."""
        going = self.inside.bounds.going
        return bool(going) and any(real.startswith(f"{link}/") for link in going)

    def is_below_taint(self, real: str) -> bool:
        """As `Reach` has it, by what was resolved: nothing is opened."""
        return self.inside.parent(real).tainted

    def why_open(self, real: str, source: str) -> str:
        """Why a directory that stands is not as closed as the overlay's: "" if it is, or is none.

        source: the overlay's. Raises PathRefused, OSError.
        """
        wanted = os.lstat(source)
        if not paths.is_closed(wanted) or self.comes_anew(real):
            return ""
        st = self.reach.status(real)
        if st is None or not stat.S_ISDIR(st.st_mode):
            return ""
        known, old = self.ledger.marks.get(real), self.ledger.entries.get(real)
        path = self.reach.path(real)
        if old and (known == mark_at(path) or tree.attributes_digest(path, st) == old.attrs):
            return ""  # ours, or as ours was: what it lacks is put right, or refused when placed
        return paths.LIES_OPEN if paths.lies_open(wanted, st) else ""

    def _content(
        self, real: str, st: os.stat_result, old: Placed | None, offer: Offer | None
    ) -> str:
        """The digest, unless the size alone tells that it is neither ours nor what is wanted.

        What is taken over for the first time is read: after a kill it must be told from what was
        put there since. But for what a user made larger than anybody would keep.
        """
        sizes = [
            size_and_mtime(source)[0]
            for source in (old.source if old else "", offer.source if offer else "")
            if source
        ]
        if old and stat.S_ISREG(st.st_mode) and sizes and st.st_size not in sizes:
            return tree.of_size(st.st_size)
        known = max(sizes, default=0)
        if st.st_size > max(known, MOST_READ) and (st.st_uid or self.is_below_taint(real)):
            return tree.of_size(st.st_size)
        return tree.content_digest(self.reach.path(real), st)

    def _blocked(self, real: str) -> str:
        """Why a directory may not make way: the first thing in it that is not ours."""
        entry = self.claims.by_real.get(real)
        absent = entry is not None and entry.flag == "absent"
        mounted = mount_table.at_or_below(self.inside.prefix + real)
        if mounted:
            return f"{mounted} is a mount point"
        size = 0
        try:
            for name, st in tree.survey(self.reach.path(real)):
                size += st.st_size
                if not absent and f"{real}/{name}" not in self.ledger.entries:
                    return f"{name} in it is not ALLiE's"
        except PathRefused as refused:
            return refused.message
        return f"it holds {size >> 20} MiB" if size > _WHOLE_TREE else ""


def _installed(here: System, real: str, path: str) -> bool:
    """Whether a file that is neither ours nor wanted is the package manager's."""
    from allie.client.originals import packages  # noqa: PLC0415 - see HACKING.md, start-up

    return packages.installed(here, real, path)
