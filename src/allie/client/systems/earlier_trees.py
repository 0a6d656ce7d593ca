"""The earlier trees of a system, beside it: each stays for as long as somebody is inside.

But only the last few, and only while the disk has room: no update waits for them.
"""

from __future__ import annotations

import os

from allie.client.situation import other_systems
from allie.core.errors import StateError
from allie.machine.disk import tree_copies
from allie.machine.files import free_space, tree
from allie.machine.namespaces import processes_inside

_OLD = "old-"
MOST = 3  # trees that are left to those inside
_LEAST_FREE = 0.05  # of the disk, while trees are left to anybody


def trees(root: str) -> list[str]:
    """The trees of before, the latest first; at the end one that is to go in any case."""
    above, _, name = root.rpartition("/")
    begins = f".{name}.{_OLD}"
    names = tree.names(above)
    numbers = [each[len(begins) :] for each in names if each.startswith(begins)]
    found = sorted((int(each) for each in numbers if each.isdigit()), reverse=True)
    gone = [other_systems.beside(root, "gone")] if f".{name}.gone" in names else []
    return [f"{above}/{begins}{number}" for number in found] + gone


def next_name(root: str) -> str:
    """Where the tree goes that is the latest of them from now on."""
    latest = next(iter(trees(root)), "").rpartition(_OLD)[2]
    return other_systems.beside(root, f"{_OLD}{int(latest) + 1 if latest.isdigit() else 1}")


def let_go(root: str) -> list[StateError]:
    """Remove them, but for the last few that somebody is inside of while there is room.

    Returns why some of them stay: something is mounted there.
    """
    kept = 0
    stuck = []
    for each in trees(root):
        may_stay = kept < MOST and not each.endswith("gone") and not is_short_of_room(root)
        if may_stay and processes_inside.of(each):
            kept += 1
            continue
        try:
            tree_copies.discard(each)
        except StateError as error:
            stuck.append(error)
    return stuck


def is_short_of_room(root: str) -> bool:
    """Whether the disk is so full that nobody keeps an earlier tree."""
    disk = free_space.room(os.path.dirname(root))
    return disk.free_to_users < disk.size * _LEAST_FREE
