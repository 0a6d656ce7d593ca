"""The ledger: what ALLiE has placed in a system, keyed by real path.

By it the next tick knows an untouched file without reading it, tells an edit here from a change in
the store, and can take a file back. It is about one tree, and is never copied into another.
"""

from __future__ import annotations

from allie.core import digest
from allie.core.lean import dumps, loads
from allie.core.value import TYPE_CHECKING, Value

if TYPE_CHECKING:
    from typing import Any

VERSION = 2
PARTS = ("overlay", "overact")
NOTHING = "-"  # as content: nothing stands there; as pristine: nothing stood there
UNKNOWN = "?"  # as pristine: the ledger was rebuilt, nobody knows what stood there
DIRECTORY = "d"  # as content
TOMBSTONE_DAYS = 90

# What an lstat says of a file: "ino ctime_ns size mtime_ns mode uid gid". While it says the same,
# the file is the same. It is one text, since a ledger of 5,000 paths has to be read quickly.
Seen = str
# The same of a file of a generation: "ino size mtime_ns mode uid gid". That is enough, as every
# change of content, mode, owner, ACL or attribute is fetched as a new inode.
Source = str


class Placed(Value):
    """One path that ALLiE answers for."""

    overlay: str
    spelling: str  # as the overlay has it, tags and all
    part: str  # overlay or overact
    flag: str  # "", "once" or "absent"
    source: Source  # "" if not known: compare next time
    content: str  # digest; NOTHING for a path that must be absent; DIRECTORY
    attrs: str  # mode, owner, group, ACL and attributes
    seen: Seen  # "" if not known: compare next time
    pristine: str  # NOTHING, UNKNOWN, or a name in pristine/ (`is_packages`)


class Tombstone(Value):
    """A path that was withdrawn: if it is back, as after a snapshot's rollback, it goes again."""

    placed: Placed
    when: float  # seconds since the epoch


class Ledger(Value):
    """Everything that ALLiE has placed in one system."""

    entries: dict[str, Placed]
    tombstones: dict[str, Tombstone]
    generations: dict[str, int]  # part → the generation that its sources speak of
    lost: bool = False  # there was a ledger once; this one is being rebuilt
    # Of directories that ALLiE made where others may change names: real path → which inode it is
    marks: dict[str, str] = {}  # noqa: RUF012 - never changed

    def is_lost_for(self, part: str) -> bool:
        """Whether this part has not gone through its paths since the ledger was lost."""
        return self.lost and not self.generations.get(part)


def empty(lost: bool = False) -> Ledger:
    """The ledger of a system in which nothing was placed, or (lost) whose ledger is gone."""
    return Ledger({}, {}, {}, lost)


def encode(ledger: Ledger) -> str:
    """The ledger as text: a line of JSON, then of each entry its path and its fields, NUL-ended.

    The entries are not JSON, since a tick of 5,000 files would spend a tenth of its time on that.
    """
    head = {
        "version": VERSION,
        "generations": ledger.generations,
        "tombstones": ledger.tombstones,
        "lost": any(ledger.is_lost_for(part) for part in PARTS),
        "marks": ledger.marks,
        "entries": len(ledger.entries),
    }
    rows = ["\0".join((real, *placed)) for real, placed in ledger.entries.items()]
    return "\0".join([dumps(head, separators=(",", ":")) + "\n", *rows, ""])


def decode(text: str) -> Ledger:
    """Read what `encode` wrote. Raises ValueError if it is anything else."""
    head, _, rest = text.partition("\n")
    value: dict[str, Any] = loads(head)
    if not isinstance(value, dict) or value.get("version") != VERSION:
        raise ValueError("not a ledger of this version")
    _, *fields = rest.split("\0")
    width = 1 + len(Placed._fields)
    try:
        if len(fields) != value["entries"] * width + 1 or fields.pop():
            raise ValueError("a damaged ledger: an entry is cut short")
        columns = [fields[place::width] for place in range(width)]
        return Ledger(
            dict(zip(columns[0], map(Placed._make, zip(*columns[1:])))),
            {
                real: Tombstone(placed(row), when)
                for real, (row, when) in value["tombstones"].items()
            },
            {part: int(number) for part, number in value["generations"].items()},
            bool(value.get("lost")),
            {str(real): str(mark) for real, mark in value.get("marks", {}).items()},
        )
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"a damaged ledger: {error!r}") from error


def placed(row: list[Any]) -> Placed:
    """One entry from its JSON list. Raises TypeError if it is not as long as it must be."""
    return Placed(*row)


def inode_of(lstat: str) -> int:
    """The inode in a Seen or Source; 0 in an unknown one."""
    return int(lstat.partition(" ")[0] or 0)


def ctime_of(seen: Seen) -> int:
    """The ctime in a Seen, in nanoseconds; 0 in an unknown one."""
    return int(seen.split(" ", 2)[1]) if seen else 0


def size_and_mtime(source: Source) -> tuple[int, int]:
    """(bytes, mtime in nanoseconds) of a known Source."""
    _, size, mtime, _ = source.split(" ", 3)
    return int(size), int(mtime)


def pristine_name(real: str, *, packaged: bool = False) -> str:
    """The name in pristine/ for a real path: a digest of it, and its last name.

    packaged: what stood there was its package's own, unchanged. Then what comes back one day is
    what the package has by then; what an administrator made comes back as it was.
    """
    last = real.rpartition("/")[2].encode(errors="surrogateescape")[:100]
    mark = digest.of(real.encode(errors="surrogateescape"))[:16]
    return f"{mark}{'+' if packaged else '-'}{last.decode(errors='surrogateescape')}"


def is_packages(pristine: str, *, or_none: bool = False) -> bool:
    """Whether what stood at a path before us was its package's own (or_none: or nothing stood)."""
    return pristine[16:17] == "+" or (or_none and pristine == NOTHING)
