"""A golden machine may follow a store itself: what its overlays placed is no part of its system.

If it came into an image, no PC could tell it from the image's own: it would never be withdrawn,
and what stood there before would be lost. So in a tree that was brought, what ALLiE placed makes
way for what it had kept: by the ledger and the pristine files, which come along for that and then
go. The tree is anybody's; everything in it is reached by descriptors that follow no link.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from allie.core import system
from allie.core.change import ledger
from allie.core.change.ledger import DIRECTORY, NOTHING, UNKNOWN, Placed
from allie.core.errors import PathRefused
from allie.core.image.not_captured import LeftOut
from allie.machine.files import tree
from allie.machine.roots import paths, within

_LARGEST = 256 << 20  # bytes of a ledger


def take_back(top: str) -> list[LeftOut]:
    """Undo in a tree what ALLiE had placed there; what it was.

    What somebody changed since, or what was to be placed once, is the system's own by now.
    """
    try:
        state = paths.Inside(top).directory(system.STATE).real
        placed = ledger.decode(within.text(top, f"{state}/ledger", _LARGEST) or "").entries
    except PathRefused:
        return []
    except ValueError:
        placed = {}  # none, or nothing that could be told by it
    gone = [real for real in sorted(placed, reverse=True) if _remove(top, real, placed[real])]
    for real in reversed(gone):  # directories before what is in them
        _bring_back(top, real, f"{state}/pristine", placed[real].pristine)
    for name in ("ledger", "pristine"):
        within.remove(top, f"{state}/{name}")
    shown = f"/{gone[-1]}" + " …" * bool(gone[1:]) if gone else ""
    return [LeftOut(shown, "ALLiE placed it; overlays bring it", len(gone))] if gone else []


def _remove(top: str, real: str, placed: Placed) -> bool:
    """Remove what was placed, where it still stands as it was; whether its place is free now."""
    if placed.flag == "once" or placed.pristine == UNKNOWN:
        return False
    try:
        with _reached(top, real) as (above, name):
            path = f"{paths.through(above)}/{name}"
            st = tree.status(path)
            if st is None:
                return placed.content == NOTHING
            if placed.content == DIRECTORY:
                if placed.pristine != NOTHING or not stat.S_ISDIR(st.st_mode):
                    return False
                os.rmdir(path)
            elif tree.content_digest(path, st) == placed.content:
                os.unlink(path)
            else:
                return False
            return True
    except (PathRefused, OSError):
        return False  # a directory that holds something, or a way that is no way any more


def _bring_back(top: str, real: str, folder: str, pristine: str) -> None:
    """Have what stood at a path there again, if there was something."""
    if pristine == NOTHING or "/" in pristine or pristine in ("", ".", ".."):
        return
    try:
        with _reached(top, f"{folder}/{pristine}") as kept, _reached(top, real) as place:
            if tree.status(f"{paths.through(place[0])}/{place[1]}") is None:
                os.rename(kept[1], place[1], src_dir_fd=kept[0], dst_dir_fd=place[0])
    except (PathRefused, OSError):
        return  # it was not kept, or its directory has gone


@contextmanager
def _reached(top: str, real: str) -> Iterator[tuple[int, str]]:
    """As `paths.parent_descriptor`, for a path that somebody else wrote down."""
    if {"", ".", ".."} & set(real.split("/")):
        raise PathRefused(f"{real!r} is no path in a system")
    with paths.parent_descriptor(top, real) as found:
        yield found
