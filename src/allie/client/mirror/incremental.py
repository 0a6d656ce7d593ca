"""Move a change that was fetched into the present generation, which so becomes the next.

    N.ready (complete and on disk) + generation N-1  →  generation N

Once a change is called ready it counts: after a kill the next tick goes on with it until all of it
is in. What it replaces is kept until the ledger speaks of the new generation: the number of an
inode that the ledger names must not be given to another file meanwhile.

docs/internals/rules.md, "What vouches for a file".
"""

from __future__ import annotations

import errno
import os

from allie.client.mirror import generation as generations
from allie.core.errors import StateError
from allie.core.system import System
from allie.machine.files import atomic, tree
from allie.machine.roots import clone

GONE = ".gone"  # in a change: the names that leave, NUL-ended
BEGUN = ".begun"  # a generation in the making, where the present one cannot be renamed


def commit(here: System, change: str, gone: list[str]) -> None:
    """Call a fetched change ready, and move it in. gone: what leaves, parents before children."""
    atomic.write(f"{change}/{GONE}", "".join(f"{name}\0" for name in gone), durable=False)
    atomic.sync_filesystem(change)
    os.rename(change, change.rpartition(".")[0] + generations.READY)
    finish(here)


def finish(here: System) -> None:
    """Move in every change that is ready. Raises StateError where the disk does not take it."""
    for name in generations.unfinished(here):
        try:
            _move_in(here, f"{here.mirror}/{name}", name.rpartition(".")[0])
        except OSError as error:
            words = f"cannot bring in {here.mirror}/{name}: {error.strerror} ({error.filename})"
            raise StateError(words, "the next tick goes on with it") from error


def _move_in(here: System, ready: str, number: str) -> None:
    """Move in one change. A step that was done before a kill finds nothing to do."""
    grown = f"{here.mirror}/{number}"
    if not os.path.isdir(grown):
        present = f"{here.mirror}/{os.readlink(here.current)}"
        replaced = present + generations.OLD
        os.makedirs(replaced, 0o700, exist_ok=True)
        gone = (atomic.read(f"{ready}/{GONE}") or "").split("\0")[:-1]
        for name in reversed(gone):
            if tree.is_plain_way(present, name):  # else it is gone, and a link has come above it
                _keep_replaced(f"{present}/{name}", replaced)
        brought = [each for each in tree.listing(ready) if each[0] != GONE]
        times = {name: os.lstat(f"{ready}/{name}") for name, is_dir in brought if is_dir}
        for name, is_dir in brought:
            _bring(name, is_dir, ready, present, replaced)
        for name, st in reversed(times.items()):  # after all is in, and out of where it came from
            clone.describe_as(f"{ready}/{name}", f"{present}/{name}", times=False)
            os.utime(f"{present}/{name}", ns=(st.st_atime_ns, st.st_mtime_ns))
        _become(present, grown)
    atomic.point(here.current, number)
    atomic.sync_filesystem(grown)
    tree.remove(ready)


def _become(present: str, grown: str) -> None:
    """Give the present generation its new number, at once.

    overlayfs renames no directory of its lower layer (EXDEV). Then a directory of links to the same
    files is made; the present generation stands until `generation.remove_old` removes it.
    """
    try:
        os.rename(present, grown)
        return
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    begun = f"{grown}{BEGUN}"
    tree.remove(begun)
    os.mkdir(begun, 0o700)
    directories = [""]
    for name, is_dir in tree.listing(present):
        if is_dir:
            os.mkdir(f"{begun}/{name}", 0o700)
            directories.append(name)
        elif name != generations.CHANGES:
            os.link(f"{present}/{name}", f"{begun}/{name}", follow_symlinks=False)
    for name in reversed(directories):
        clone.describe_as(f"{present}/{name}", f"{begun}/{name}")
    os.rename(begun, grown)


def _bring(name: str, is_dir: bool, ready: str, present: str, replaced: str) -> None:
    target = f"{present}/{name}"
    st = tree.status(target)
    if st and tree.is_directory(st):
        if is_dir:
            return
        tree.remove(target)  # what was in it has left before
    elif st and "/" in name:  # a note at the top is no ledger's, and must not be away for a moment
        _keep_replaced(target, replaced)
    if is_dir:
        os.mkdir(target, 0o700)
    else:
        os.rename(f"{ready}/{name}", target)


def _keep_replaced(path: str, replaced: str) -> None:
    """Take a file, or an emptied directory, out of the present generation."""
    st = tree.status(path)
    if st and tree.is_directory(st):
        tree.remove(path)
    elif st:
        os.rename(path, f"{replaced}/{st.st_ino}")
