"""Bring a whole system into the next version of an image: a directory, or another machine's root.

What the present version and earlier attempts have already is linked; the rest comes by rsync.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence

from allie.core.errors import StateError, StoreError, UsageError
from allie.core.image import not_captured
from allie.core.image.not_captured import LeftOut
from allie.machine import console
from allie.machine.disk import mounts_and_swap as machines
from allie.machine.disk import tree_copies
from allie.machine.files import tree
from allie.machine.programs import process
from allie.machine.programs.process import Finished
from allie.machine.programs.process_groups import Bounds
from allie.machine.transfer import rsync, vanished
from allie.server.images import catalogue, draft
from allie.server.images.draft import Draft

_MOST_SAID = 1 << 12  # pieces, of up to 64 KiB each, of what is told of what was left out
_SWAP_AT = tuple(size - 10 for size in (4 << 10, 8 << 10, 16 << 10, 64 << 10))  # a page's end
_SWAP = (b"SWAPSPACE2", b"SWAP-SPACE", b"S1SUSPEND\0", b"S2SUSPEND\0")  # mkswap(8), hibernated
_LEAST_SWAP = 40 << 10  # bytes


def from_directory(work: Draft, source: str, store: str, *, force: bool) -> list[LeftOut]:
    """Bring a directory of this machine, with its subvolumes; what is left out.

    That is what is mounted in it, read-only subvolumes, which are snapshots, and swap files that
    its fstab names or that are in use.
    """
    real = os.path.realpath(source)
    if real == "/":
        hint = "`allie offer /` in another terminal here shows the command that captures it"
        raise UsageError("the running system is not imported: it is captured", hint)
    if store.startswith(real + "/") or real == store:
        raise UsageError(f"{source} holds the store itself", "name the root of a system")
    need_root(real, source, force=force)
    machine = machines.here(real)
    left = dict.fromkeys(machine.mounts, "mounted there")
    if machine.has_subvolumes:
        left.update((path, "a read-only snapshot") for path in _snapshots(real, set(left)))
    bring(
        work, [f"{real}/"], [*not_captured.files(machine.swap), *not_captured.mounted(left)], source
    )
    swap = [LeftOut(path, "swap") for path in machine.swap if os.path.lexists(real + path)]
    return [LeftOut(real + path, why) for path, why in left.items()] + swap


def without_swap(work: Draft) -> list[LeftOut]:
    """Remove swap files from a tree that was brought, whatever their names; what they were.

    By mkswap's signature alone: their sizes need not be of whole pages (`fallocate -l 2GB`).
    """
    found = []
    for path, is_dir in tree.listing(work.tree):
        st = os.lstat(f"{work.tree}/{path}")
        if is_dir or not stat.S_ISREG(st.st_mode):
            continue
        if st.st_size >= _LEAST_SWAP and _is_swap(work, path):
            os.unlink(f"{work.tree}/{path}")
            found.append(LeftOut(f"/{path}", "swap"))
    return found


def _is_swap(work: Draft, path: str) -> bool:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(f"{work.tree}/{path}", flags)
    try:
        return any(os.pread(descriptor, 10, at) in _SWAP for at in _SWAP_AT)
    finally:
        os.close(descriptor)


def _snapshots(top: str, points: set[str]) -> Iterator[str]:
    """The read-only subvolumes below a directory, but for what is mounted there."""
    for above, names, _ in os.walk(top):
        for name in list(names):
            path = f"{above}/{name}"
            short = path[len(top) :]
            if short in points or os.path.islink(path):
                names.remove(name)
            elif tree_copies.is_snapshot(path):
                names.remove(name)
                yield short


def bring(
    work: Draft,
    wanted: list[str],
    options: Sequence[str],
    shown: str,
    *,
    stall: int | None = None,
    is_running: bool = False,
) -> Finished:
    """Fill the draft by rsync; tried once more where files changed meanwhile.

    is_running: the source is a system at work, whose files may vanish while they are read. All that
    rsync says of it is in the result, also where it is shown as progress.
    """
    able = rsync.version(f"{work.top}/rsync")
    words, show = console.progress(shown)
    said: list[bytes] = []

    def keep_and_show(output: bytes) -> None:
        if len(said) < _MOST_SAID:
            said.append(output)
        if show:
            show(output)

    for _ in range(2):
        draft.fresh(work)
        flags = [*options, *words, *rsync.exact_times(able, f"{work.top}/boot")]
        flags += [rsync.BY_CONTENT] * bool(work.links)
        argv = rsync.fetch(able, flags, wanted, work.tree, work.links, whole=True)
        said.clear()
        bounds = Bounds(stall) if stall else None
        done = process.run(argv, bounds=bounds, on_output=keep_and_show if is_running else show)
        done = done._replace(out=b"".join(said)) if is_running else done
        if not rsync.may_settle(done):
            break
    if done.full_disk:
        raise full(work, rsync.reason(done))
    if not (is_running and vanished.is_all(done)):
        rsync.check(done, shown)
    return done


def need_root(top: str, source: str, *, force: bool) -> None:
    """Raise UsageError where a directory does not look like a system's root."""
    if not os.path.isdir(top):
        raise UsageError(f"{source} is not a directory, an archive or mmdebstrap:SUITE")
    if not force and not catalogue.is_root(top):
        words = f"{source} is no Linux root: it has no etc or no usr"
        raise UsageError(words, "name the directory that holds them; --force takes it as it is")


def full(work: Draft, words: str) -> StateError:
    """The disk of the store is full; what came stays for the next attempt."""
    name = os.path.basename(work.image)
    return StateError(
        f"the disk under {work.top} is full: {words}",
        f"make room and run this again: it goes on from here; or allie image remove {name}",
    )


def need_program(name: str, package: str) -> None:
    """Raise StoreError where a program that only some imports need is not installed."""
    if not process.has_program(name):
        raise StoreError(f"{name} is not installed", f"install the package {package}")
