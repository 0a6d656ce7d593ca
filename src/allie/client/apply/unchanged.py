"""Unchanged: tell by lstat alone that a part has nothing to do, as at nearly every tick.

    note (its name; paths, and what stood there) + root  →  nothing has changed, or else: look

What a part finds to do follows from a few things that make the note's name (this client, the
generation, settings, facts, the ledger), and from what lstat says of the paths that it looks at.
So where a part ended with nothing to do, all those paths are noted with what lstat said, every
directory and symlink on the way to them included. While all is the same, there is nothing to do.

A note is a cache: whatever is odd about it means "look". The weekly tick that compares all by
content does not ask it, nor do `plan` and `why`.
"""

from __future__ import annotations

import time

import allie
from allie.core.change.ledger import NOTHING, ctime_of
from allie.core.change.present import Present
from allie.core.system import System
from allie.machine.files import atomic, tree
from allie.machine.mounts import user_mounts

FRESH = 20_000_000  # ns; a change within the clock's grain of our look would go unseen


def name_of(here: System, part: str, known: object) -> str:
    """The name of a note: all that the outcome of a part follows from, but for the root itself.

    known: the grounds (`situation.grounds`); any value whose repr tells them apart.
    """
    return repr((allie.__version__, allie.__file__, here, part, _lstat(here.ledger), known))


def note(here: System, part: str, known: object, present: Present) -> None:
    """Note what a part looked at that ended with nothing to do."""
    stood = dict(present.met)
    newest = max((ctime_of(each) for each in stood.values() if _is_whole(each)), default=0)
    if present.standing or newest > time.time_ns() - FRESH:
        return
    for real in present.mine:
        old = present.ledger.entries.get(real)
        if old and not _is_whole(stood.get(real, "")):  # then it is the ledger that vouches for it
            stood[real] = old.seen or NOTHING
    fields = [name_of(here, part, known), str(len(stood)), *stood, *stood.values()]
    atomic.write(_path(here, part), "\0".join(fields), 0o600, durable=False)


def carry_over(here: System, part: str, name: str, known: object) -> None:
    """Rename a note for other grounds, which were found to make no difference to the part."""
    stood, _, rest = (atomic.read(_path(here, part)) or "").partition("\0")
    if stood == name:
        name = name_of(here, part, known)
        atomic.write(_path(here, part), f"{name}\0{rest}", 0o600, durable=False)


def holds(here: System, part: str, known: object) -> bool:
    """Whether there is a note on these grounds, and everything stands as it did then."""
    name, _, rest = (atomic.read(_path(here, part)) or "").partition("\0")
    if name != name_of(here, part, known):
        return False
    count, *fields = rest.split("\0")
    paths, stood = fields[: len(fields) // 2], fields[len(fields) // 2 :]
    if count != str(len(paths)) or len(paths) != len(stood):
        return False  # cut short by a power failure
    closed = user_mounts.closed_in(here.root)
    if closed.any_of(paths):
        return False  # not even an lstat may cross what a user has mounted, or what is silent
    prefix = "/" if here.root == "/" else here.root + "/"
    return all(_lstat(prefix + path, was) == was for path, was in zip(paths, stood))


def _lstat(path: str, was: str = "") -> str:
    """What lstat says of a path; as much of it as `was` has, if that is given."""
    try:
        st = tree.status(path)
    except OSError:
        return ""  # no note says this, so it counts as changed
    if st is None:
        return tree.NEITHER if was == tree.NEITHER else NOTHING
    return tree.seen_of(st) if _is_whole(was) or not was else tree.way_of(st)


def _is_whole(stood: str) -> bool:
    """Whether a note has all that lstat said, and not one word of it."""
    return len(stood) > 1


def _path(here: System, part: str) -> str:
    return f"{here.state}/glance-{part}"
