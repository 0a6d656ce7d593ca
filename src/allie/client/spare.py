"""Spare copies of what rsync's own backup would not keep whole, where undo is on another disk.

There it copies each file by itself, which parts hard links, and gives it its owner after its
attributes, at which the kernel drops a capability (RULES A11). So these are copied before; `undo`
takes them rather than rsync's.
"""

from __future__ import annotations

import os

from allie.core.intent import Step
from allie.core.system import System
from allie.machine import process, room, rsync, tree

_CAPABILITY = "security.capability"


def make(here: System, steps: list[Step], place: str) -> None:
    """Copy those of the paths about to be replaced that need it. Raises StateError without room."""
    undo = os.stat(place).st_dev
    found = [step.real for step in steps if _is_spoiled(here.at(step.real), step, undo)]
    if not found:
        return
    sizes = [os.lstat(here.at(real)).st_size for real in found]
    room.need(place, sum(sizes) + 4096 * len(sizes), len(sizes))
    os.makedirs(f"{place}/spare", 0o700, exist_ok=True)
    able = rsync.version(f"{here.state}/rsync")
    argv = rsync.copy_out(able, here.root, f"{place}/spare")
    process.run(argv, stdin=rsync.names(found), check=True)


def kept(place: str, real: str) -> str:
    """Where undo has what stood at a path: the spare copy, but not of a file edited since."""
    last, spare = f"{place}/files/{real}", f"{place}/spare/{real}"
    one, other = tree.status(last), tree.status(spare)
    if one is None or other is None or not tree.is_regular(one):
        return last
    same = (one.st_mode, one.st_uid, one.st_gid) == (other.st_mode, other.st_uid, other.st_gid)
    return spare if same and tree.file_digest(last) == tree.file_digest(spare) else last


def _is_spoiled(path: str, step: Step, undo: int) -> bool:
    st = tree.status(path)
    if st is None or st.st_dev == undo or step.before == step.wanted or not tree.is_regular(st):
        return False
    return st.st_nlink > 1 or (st.st_uid != 0 and _CAPABILITY in tree.xattrs(path))
