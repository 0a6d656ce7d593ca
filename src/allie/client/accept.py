"""Accept: judge a part that was fetched, and make it the generation in force by one rename.

A generation that lost much is refused whole: the server is more likely to be ill than its
administrator to mean it (RULES A8, guard).
"""

from __future__ import annotations

import os
import stat

from allie.client import generation as generations
from allie.client import prelink
from allie.client.generation import Generation
from allie.core.errors import StoreError, Unreachable
from allie.core.plan import MANY
from allie.core.resolution import CONSENT
from allie.core.settings import Settings
from allie.core.system import System
from allie.machine import atomic, tree

_Names = dict[str, set[str]]  # overlay → its files


def accept(
    here: System,
    settings: Settings,
    part: str,
    before: Generation | None,
    linked: int,
    *,
    lagging: bool,
) -> tuple[Generation, tuple[str, ...]]:
    """Switch to a finished part: the generation in force, and the files that are new in it.

    linked: when prelink linked it, 0 if it did not. lagging: this server stands in for another.
    Raises StoreError, and the present generation stands.
    """
    number = int(os.path.basename(part).partition(".")[0])
    after = Generation(number, part, settings.overlays)
    for name in after.overlays:
        if not stat.S_ISDIR(os.lstat(f"{part}/{name}").st_mode):
            raise StoreError(f"overlay {name} of the store is not a directory: nothing is taken")
    generations.complete(after)
    new, old = _files(after), _files(before) if before else {}
    _guard(after, settings, old, new, lagging)
    changed = _changed(before, after, old, new, linked)
    atomic.sync_filesystem(part)
    path = f"{here.mirror}/{number}"
    os.rename(part, path)
    atomic.point(here.current, str(number))
    tree.remove(f"{here.mirror}/left")
    gone = {f"{each}/{name}" for each in old for name in old[each] - new.get(each, set())}
    return after._replace(path=path), tuple(sorted(changed | gone))


def _files(generation: Generation) -> _Names:
    return {
        overlay: {
            path
            for path, is_dir in generations.names_in(generation, overlay)
            if not is_dir and path != CONSENT
        }
        for overlay in generation.overlays
    }


def _changed(
    before: Generation | None, after: Generation, old: _Names, new: _Names, linked: int
) -> set[str]:
    """The new files, and those whose inode is another than before."""
    changed = set()
    touched: dict[int, list[str]] = {}  # inodes that were changed after they were linked
    shared = set()
    for path in sorted(f"{overlay}/{name}" for overlay, names in new.items() for name in names):
        overlay, _, name = path.partition("/")
        st = os.lstat(f"{after.path}/{path}")
        if linked and st.st_nlink > 1 and st.st_ctime_ns <= linked:
            continue  # linked by us, and not touched since
        touched.setdefault(st.st_ino, []).append(path)
        changed.add(path)
        stood = before and name in old.get(overlay, ())
        if before and stood and os.lstat(f"{before.path}/{path}").st_ino == st.st_ino:
            shared.add(st.st_ino)
    if linked:
        prelink.own_inodes(after.path, [touched[inode] for inode in shared])
        return changed
    return changed - {path for inode in shared for path in touched[inode]}


def _guard(
    after: Generation,
    settings: Settings,
    old: _Names,
    new: _Names,
    lagging: bool,
) -> None:
    """Refuse a generation that lost so much that the server must be ill. Raises StoreError."""
    all_lost = all_had = 0
    for overlay, files in old.items():
        lost = files - new.get(overlay, set())
        all_had += len(files)
        if not lost:
            continue
        if lagging:
            raise Unreachable(
                f"this server lacks {len(lost)} files of {overlay} that the usual one had",
                "it is taken as lagging behind for 24 h",
            )
        released = settings.ring and overlay != "kit"
        meant = os.path.lexists(f"{after.path}/{overlay}/{CONSENT}") or overlay not in new
        if released or meant:
            continue
        all_lost += len(lost)
        if not new[overlay] or _is_much(len(lost), len(files)):
            raise StoreError(
                f"overlay {overlay} lost {len(lost)} of its {len(files)} files: nothing is taken",
                f"is its disk mounted? If it is meant: touch overlays/{overlay}/{CONSENT}",
            )
    if _is_much(all_lost, all_had):
        raise StoreError(
            f"the overlays lost {all_lost} of their {all_had} files: nothing is taken",
            f"are their disks mounted? If it is meant: touch overlays/NAME/{CONSENT}",
        )


def _is_much(lost: int, had: int) -> bool:
    return lost > MANY and lost * 2 > had
