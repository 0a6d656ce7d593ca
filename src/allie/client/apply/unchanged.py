"""Unchanged: tell by lstat alone that a part has nothing to do, as at nearly every tick.

    note (its name; paths, and what stood there) + root  →  nothing has changed, or else: look

What a part finds to do follows from a few things that make the note's name (this client, the
generation, settings, facts, the ledger), and from what lstat says of the paths that it looks at.
So where a part ended with nothing to do, all those paths are noted with what lstat said, every
directory and symlink on the way to them included. While all is the same, there is nothing to do.

A note is a cache: whatever is odd about it means "look". The weekly tick that compares all by
content does not ask it, nor do `plan` and `why`. A quick tick reads the same notes.
"""

from __future__ import annotations

import os
import time

import allie
from allie.client.state import quick_files, quick_seal
from allie.core.change import ledger as ledgers
from allie.core.change.ledger import Ledger, ctime_of
from allie.core.change.present import Present
from allie.core.errors import spoken
from allie.core.system import System
from allie.core.value import TYPE_CHECKING
from allie.machine.files import atomic, tree
from allie.machine.files.stood import NOTHING, all_stand
from allie.machine.mounts import user_mounts

if TYPE_CHECKING:
    from typing import Any

    from allie.machine.files.stood import Stood

FRESH = 20_000_000  # ns; a change within the clock's grain of our look would go unseen


def name_of(here: System, part: str, known: object) -> str:
    """The name of a note: all that the outcome of a part follows from, but for the root itself.

    known: the grounds (`situation.grounds`); any value whose repr tells them apart.
    """
    st = tree.status(here.ledger)
    seen = tree.seen_of(st) if st else ""
    return spoken(repr((allie.__version__, allie.__file__, here, part, seen, known)))


def note(here: System, part: str, known: object, present: Present, ledger: Ledger) -> None:
    """Note what a part looked at that ended with nothing to do. ledger: as it is now."""
    stood = dict(present.met)
    newest = max((ctime_of(each) for each in stood.values() if each[:1].isdigit()), default=0)
    vouched = {
        real for real in present.mine if real in ledger.entries and ledger.entries[real].seen
    }
    if not vouched.issuperset(present.standing) or newest > time.time_ns() - FRESH:
        return
    for real in present.mine:
        old = ledger.entries.get(real)
        if old and not stood.get(real, "")[:1].isdigit():  # then the ledger vouches for it
            stood[real] = old.seen or ledgers.NOTHING
    write(here, part, name_of(here, part, known), tuple(stood), tuple(map(_told, stood.values())))


def write(
    here: System, part: str, name: str, paths: tuple[str, ...], stood: tuple[Stood, ...]
) -> None:
    """Write a note."""
    os.makedirs(f"{here.state}/quick", 0o700, exist_ok=True)
    text = quick_files.pack({"name": name, "paths": paths, "stood": stood}, quick_seal.of(here))
    atomic.write(_path(here, part), text, 0o600, durable=False)


def carry_over(here: System, part: str, name: str, known: object) -> None:
    """Rename a note for other grounds, which were found to make no difference to the part."""
    found = _read(here, part)[0]
    if found.get("name") == name:
        write(here, part, name_of(here, part, known), found["paths"], found["stood"])


def holds(here: System, part: str, known: object) -> bool:
    """Whether there is a note on these grounds, and everything stands as it did then."""
    found = _read(here, part)[0]
    if found.get("name") != name_of(here, part, known):
        return False
    if user_mounts.closed_in(here.root).any_of(found["paths"]):
        return False  # not even an lstat may cross what a user has mounted, or what is silent
    prefix = "/" if here.root == "/" else here.root + "/"
    return all_stand(prefix, found["paths"], found["stood"])


def is_noted(here: System, part: str, known: object) -> bytes:
    """What tells the note of a part on these grounds from any other; empty if there is none."""
    found, seal = _read(here, part)
    return seal if found.get("name") == name_of(here, part, known) else b""


def _read(here: System, part: str) -> tuple[dict[str, Any], bytes]:
    try:
        return quick_files.read(_path(here, part), quick_seal.of(here))
    except (OSError, ValueError):
        return {}, b""


def _told(seen: str) -> Stood:
    """What stood at a path, in the words of the quick tick; "" always counts as changed."""
    if not seen[:1].isdigit():  # a word for the one thing that matters
        return NOTHING if seen == ledgers.NOTHING else seen
    inode, ctime, size, mtime, mode, *owners = seen.split()
    return (int(inode), int(ctime), int(size), int(mtime), int(mode, 8), *map(int, owners))


def _path(here: System, part: str) -> str:
    return f"{here.state}/quick/{part}"
