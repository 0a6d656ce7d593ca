"""What `look` finds: how the overlays' paths map onto this root, and what stands there now.

Paths here are *real* paths: free of symlinks, relative to the root. Only those are described that
are not as the ledger has them; the others are `vouched`, and nothing but an lstat was read of them.

docs/internals/rules.md, "Symlinked parents are followed, never replaced".
"""

from __future__ import annotations

from allie.core.change.ledger import NOTHING, Ledger, Placed, Seen, Source
from allie.core.change.resolution import Entry, Problem
from allie.core.value import Value


class Standing(Value):
    """What stands at one real path."""

    content: str = NOTHING  # digest; NOTHING; ledger.DIRECTORY
    attrs: str = ""
    seen: Seen = ""
    size: int = 0  # bytes that a copy of it takes
    blocked: str = ""  # a directory that may not go: the first thing in it that is not ours
    packaged: bool = False  # it is the file that the package manager installed
    foreign: bool = False  # a directory, and not the one that ALLiE made there
    astray: str = ""  # why the path's way leads elsewhere now: then nothing of it was looked at


class Offer(Value):
    """What the generation (or pristine/, or undo/) has for a path."""

    path: str  # absolute, where it stands
    source: Source
    content: str
    attrs: str
    size: int = 0


class Present(Value):
    """The root as it stands, seen from one part."""

    part: str
    generation: int
    ledger: Ledger  # entries keyed by today's real paths
    claims: dict[str, Entry]  # winners by real path, of both parts
    mine: tuple[str, ...]  # the claims of this part, parents before children
    vouched: frozenset[str]  # of these the ones that are untouched, and wanted as they are
    standing: dict[str, Standing]
    offers: dict[str, Offer]
    groups: tuple[tuple[str, ...], ...]  # hard links in the generation: placed together
    left_alone: frozenset[str]  # neither placed nor withdrawn: in dispute, or not to be seen now
    problems: tuple[Problem, ...]
    consent: frozenset[str]  # overlays that say that losing many of their files is meant
    met: dict[str, str] = {}  # noqa: RUF012 - lstats of what the ledger does not have (`unchanged`)
    # Of paths to be withdrawn whose packages have something else by now: their entries with the
    # pristine that is to count, and the real paths from which that is yet to be taken.
    today: dict[str, Placed] = {}  # noqa: RUF012
    renewals: dict[str, str] = {}  # noqa: RUF012
    released: frozenset[str] = frozenset()  # overlays that come as releases
