"""Bring a whole system into the next version of an image: a directory, or another machine's root.

What the present version and earlier attempts have already is linked; the rest comes by rsync.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from allie.core.errors import StateError, StoreError, UsageError
from allie.machine import console, mounts, process, rsync
from allie.machine.groups import Bounds
from allie.machine.process import Finished
from allie.server import images, parts
from allie.server.parts import Part

_MOST_SAID = 1 << 12  # pieces, of up to 64 KiB each, of what is told of what was left out
_VANISHED = 24  # rsync: files went away while it read; a running system does that


def from_directory(part: Part, source: str, store: str, *, force: bool) -> list[str]:
    """Bring a directory of this machine; the mount points in it, which are left out."""
    real = os.path.realpath(source)
    if real == "/":
        hint = "allie offer /, and on this machine, too, allie image capture"
        raise UsageError("the running system is not imported: it is captured", hint)
    if store.startswith(real + "/") or real == store:
        raise UsageError(f"{source} holds the store itself", "name the root of a system")
    need_root(real, source, force=force)
    bring(part, [f"{real}/"], ["-x"], source)
    return [point for point in mounts.points() if point.startswith(f"{real}/")]


def bring(
    part: Part,
    wanted: list[str],
    options: Sequence[str],
    shown: str,
    *,
    stall: int | None = None,
    is_running: bool = False,
) -> Finished:
    """Fill the part with rsync; tried once more where files changed meanwhile.

    is_running: the source is a system at work, whose files may vanish while they are read. All that
    rsync says of it is in the result, also where it is shown as progress.
    """
    able = rsync.version(f"{part.top}/rsync")
    words, show = console.progress(shown)
    said: list[bytes] = []

    def keep_and_show(output: bytes) -> None:
        if len(said) < _MOST_SAID:
            said.append(output)
        if show:
            show(output)

    for _ in range(2):
        parts.fresh(part)
        flags = [*options, *words, *rsync.exact_times(able, f"{part.top}/boot")]
        flags += [rsync.BY_CONTENT] * bool(part.links)
        argv = rsync.fetch(able, flags, wanted, part.tree, part.links)
        said.clear()
        bounds = Bounds(stall) if stall else None
        done = process.run(argv, bounds=bounds, on_output=keep_and_show if is_running else show)
        done = done._replace(out=b"".join(said)) if is_running else done
        if not rsync.may_settle(done):
            break
    if done.full_disk:
        raise full(part, rsync.reason(done))
    if not (is_running and done.code == _VANISHED):
        rsync.check(done, shown)
    return done


def need_root(top: str, source: str, *, force: bool) -> None:
    """Raise UsageError where a directory does not look like a system's root."""
    if not os.path.isdir(top):
        raise UsageError(f"{source} is not a directory, an archive or mmdebstrap:SUITE")
    if not force and not images.is_root(top):
        raise UsageError(
            f"{source} is no Linux root: it has no etc or no usr",
            "name the directory that holds them; --force takes it as it is",
        )


def full(part: Part, words: str) -> StateError:
    """The disk of the store is full; what came stays for the next attempt."""
    name = os.path.basename(part.image)
    return StateError(
        f"the disk under {part.top} is full: {words}",
        f"make room and run this again: it goes on from here; or allie image remove {name}",
    )


def need_program(name: str, package: str) -> None:
    """Raise StoreError where a program that only some imports need is not installed."""
    if not process.has_program(name):
        raise StoreError(f"{name} is not installed", f"install the package {package}")
