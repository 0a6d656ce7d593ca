"""Prelink: give a generation to come what it shares with the present one, before rsync fetches.

rsync's own --link-dest would do; but for each file that it links, rsync 3.5 opens every directory
of three paths: 0.2 ms, a second for 5,000 files. What did not change is known by then, since the
store was asked; what did is copied, for rsync to send only the difference. Should the store change
between question and fetch, rsync changes attributes in place, of inodes that both generations
share: `own_inodes` mends that.
"""

from __future__ import annotations

import os

from allie.client import generation as generations
from allie.client.generation import Generation
from allie.machine import tree


def link_unchanged(before: Generation, part: str, changed: set[str]) -> int:
    """Link all files of `before` into `part`, and copy the changed ones (`overlay/path`).

    Returns the time, in the file system's own nanoseconds, after which a change of theirs is
    somebody else's.
    """
    kept = _inodes(before, changed)
    for overlay in before.overlays:
        os.mkdir(f"{part}/{overlay}", 0o700)
        for path, is_dir in generations.names_in(before, overlay):
            name = f"{overlay}/{path}"
            source, target = f"{before.path}/{name}", f"{part}/{name}"
            if is_dir:
                os.mkdir(target, 0o700)
            elif name in changed or (kept and os.lstat(source).st_ino in kept):
                _copy(source, target)
            else:
                os.link(source, target, follow_symlinks=False)
    mark = f"{part}/.linked"
    os.mkdir(mark)
    linked = os.lstat(mark).st_ctime_ns
    os.rmdir(mark)
    return linked


def own_inodes(part: str, links: list[list[str]]) -> None:
    """Give files of a part inodes of their own, so that their change can be seen (RULES B1).

    links: for each inode the names that it has in the part; they stay one file.
    """
    for first, *others in links:
        path = f"{part}/{first}"
        if not tree.is_regular(os.lstat(path)):
            continue  # a link's or device's content cannot change in place
        tree.copy_file(path, f"{path}.own")
        os.rename(f"{path}.own", path)
        for other in others:
            os.unlink(f"{part}/{other}")
            os.link(path, f"{part}/{other}", follow_symlinks=False)


def _copy(source: str, target: str) -> None:
    """What rsync may change must not be shared; anything but a regular file it makes anew."""
    if tree.is_regular(os.lstat(source)):
        tree.copy_file(source, target)


def _inodes(before: Generation, changed: set[str]) -> set[int]:
    """Inodes that a changed file shares with others: hard links change together (RULES B8)."""
    stats = [tree.status(f"{before.path}/{name}") for name in changed]
    return {st.st_ino for st in stats if st and st.st_nlink > 1 and not tree.is_directory(st)}
