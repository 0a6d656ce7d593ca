"""Keep a store equal to another one: `allie store mirror`.

    look what is there → releases, images → rings → overlays → prune → note

What overlays speak of comes before them. What one tree is refused for holds up no other; a store
that is away, or a disk that takes no more, ends the run, and the next one goes on from there. It
never writes into store.conf, the keys, `private` or `inbox`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from allie.core.change import staying
from allie.core.errors import AllieError, Busy, NoRoom, StoreError, Unreachable, UsageError
from allie.core.stubs import KIT
from allie.core.value import Value
from allie.machine.files import atomic, lock, tree
from allie.server import mirror_state
from allie.server import store as stores
from allie.server.images import catalogue
from allie.server.mirror_state import MirrorState
from allie.server.mirroring import trees, upstream
from allie.server.mirroring.trees import Piece
from allie.server.mirroring.upstream import Contents, Upstream

_WORK = ".mirror"  # in the store: its lock, and what is known of this machine's rsync
_THOROUGH = 24 * 3600  # seconds after which all is compared by content
_OWN = "it would be overwritten. Another --store DIR; or, if it is to become a mirror: --overwrite"


class StoreContents(Value):
    """What the other store has."""

    overlays: tuple[str, ...]
    images: tuple[str, ...]
    releases: dict[str, Contents]  # by overlay: its releases, and the rings that lead to them


class Mirrored(Value):
    """What a run came to, in the order in which it was done."""

    came: list[str]  # paths in the store
    gone: list[str]
    refused: list[str]  # what was left as it is, and why


class _MirrorRun(Value):
    store: str
    up: Upstream
    thorough: bool
    done: Mirrored


def mirror(source: str, store: str, bandwidth: str = "", *, overwrite: bool = False) -> Mirrored:
    """Make a store equal to the one at an address; one that is not there is made.

    overwrite: also one that is no mirror yet. Raises Unreachable, StateError, and Busy where this
    is being done already: then the next run goes on from there.
    """
    store = _made(source, store, overwrite=overwrite)
    with _alone(store) as work:
        before = mirror_state.read(store) or MirrorState("")
        if before.source != source:
            before = MirrorState(source)
        now = time.time()
        mirror_state.write(store, before._replace(tried=now, trouble="not finished"))
        thorough = abs(now - before.thorough) > _THOROUGH
        job = _MirrorRun(
            store, upstream.of(source, work, bandwidth), thorough, Mirrored([], [], [])
        )
        try:
            _run(job)
        except (AllieError, OSError) as error:
            mirror_state.write(store, before._replace(tried=now, trouble=str(error)))
            raise
        trouble = "; ".join(job.done.refused[:3])
        after = before._replace(tried=now, trouble=trouble)
        after = after._replace(thorough=now) if thorough else after
        mirror_state.write(store, after if trouble else after._replace(current=now))
        return job.done


def _made(source: str, store: str, *, overwrite: bool) -> str:
    """The store's real path. Raises UsageError where it is the other one, or one of its own.

    One within the other would grow with each run, or be pruned away.
    """
    theirs, ours = (f"{os.path.realpath(each)}/" for each in (source, store))
    if source.startswith("/") and (theirs.startswith(ours) or ours.startswith(theirs)):
        is_same = theirs == ours
        words = "is that store itself" if is_same else f"and {source} lie one within the other"
        raise UsageError(f"{store} {words}", "--store DIR")
    has = stores.overlays(store) if os.path.isdir(f"{store}/overlays") else []
    own = [name for name in has if trees.files_in(f"{store}/overlays/{name}") and name != KIT]
    if own and not overwrite and mirror_state.read(store) is None:
        raise UsageError(f"{store} is a store of its own, with an overlay {own[0]}", _OWN)
    stores.begin(store)
    return stores.need(store)


@contextmanager
def _alone(store: str) -> Iterator[str]:
    """A directory for our own notes, while we have its lock."""
    work = f"{store}/{_WORK}"
    os.makedirs(work, 0o700, exist_ok=True)
    busy = Busy(f"{store} is being mirrored already", "wait for its end")
    with lock.of_directory(work, lambda: busy):
        yield work


def _run(job: _MirrorRun) -> None:
    wanted = _look(job.up)
    for overlay, listed in wanted.releases.items():
        os.makedirs(f"{job.store}/releases/{overlay}", 0o755, exist_ok=True)
        _bring(job, [Piece(f"releases/{overlay}", each) for each in listed.names])
    _bring(job, [Piece("images", name) for name in wanted.images])
    for overlay, listed in wanted.releases.items():
        _point_rings(job, overlay, listed)
    _bring(job, _overlays(job, wanted.overlays))
    _prune(job, wanted)


def _look(up: Upstream) -> StoreContents:
    """What the other store has. Raises StoreError where it is none, or its disk is not mounted."""
    overlays = upstream.listing(up, "overlays").names
    if KIT not in overlays:
        hint = "`allie store init`, there, makes one; is its disk mounted?"
        raise StoreError(f"{up.address} has no overlay {KIT}: nothing is taken", hint)
    released = upstream.listing(up, "releases").names
    return StoreContents(
        overlays,
        upstream.listing(up, "images").names,
        {overlay: upstream.listing(up, f"releases/{overlay}") for overlay in released},
    )


def _overlays(job: _MirrorRun, names: tuple[str, ...]) -> list[Piece]:
    """The overlays that are to be fetched: those that are not here, or differ."""
    top = f"{job.store}/overlays"
    both = [name for name in names if os.path.isdir(f"{top}/{name}")]
    fresh = {name for name in names if name not in both}
    if both:
        fresh |= upstream.differ(job.up, both, top, thorough=job.thorough)
    return [Piece("overlays", name) for name in names if name in fresh]


def _bring(job: _MirrorRun, pieces: list[Piece]) -> None:
    """Bring trees: overlays, which differ; images that do; releases, which never change again."""
    for piece in pieces:
        with _going_on(job):
            if piece.module != "overlays" and os.path.isdir(f"{job.store}/{piece.path}"):
                is_fixed = piece.module != "images" and not job.thorough
                if is_fixed or trees.is_equal(job.up, job.store, piece, thorough=job.thorough):
                    continue
            trees.bring(job.up, job.store, piece)
            job.done.came.append(piece.path)


@contextmanager
def _going_on(job: _MirrorRun) -> Iterator[None]:
    """What one tree is refused for holds up no other."""
    try:
        yield
    except (Unreachable, NoRoom):
        raise
    except AllieError as error:  # also where something is mounted in it here, or it is a link
        job.done.refused.append(str(error))


def _point_rings(job: _MirrorRun, overlay: str, listed: Contents) -> None:
    """Have the rings of an overlay lead where they lead in the other store."""
    top = f"{job.store}/releases/{overlay}"
    for name, number in listed.links.items():
        is_free = os.path.islink(f"{top}/{name}") or not os.path.lexists(f"{top}/{name}")
        if is_free and os.path.isdir(f"{top}/{number}") and _target(f"{top}/{name}") != number:
            atomic.point(f"{top}/{name}", number)
            job.done.came.append(f"releases/{overlay}/{name}")


def _target(link: str) -> str:
    with suppress(OSError):
        return os.readlink(link)
    return ""


def _prune(job: _MirrorRun, wanted: StoreContents) -> None:
    """Remove what the other store has no more, unless so much is gone that it must be a slip."""
    store = job.store
    overlays = set(stores.overlays(store)).difference(wanted.overlays)
    _remove(job, "overlays", overlays, is_slip=_are_many(store, overlays))
    images = set(catalogue.names(store)).difference(wanted.images)
    _remove(job, "images", images, is_slip=not wanted.images)
    modules = {"overlays": wanted.overlays, "images": wanted.images}
    for overlay in sorted(filter(_is_shown, tree.names(f"{store}/releases"))):
        listed = wanted.releases.get(overlay)
        # An overlay whose releases are all gone is more likely one whose disk is not mounted
        is_slip = not (listed.names if listed else wanted.releases)
        listed = listed or Contents((), {})
        _prune_releases(job, overlay, listed, is_slip=is_slip)
        modules[f"releases/{overlay}"] = listed.names
    for module, names in modules.items():
        with _going_on(job):
            trees.tidy(store, module, set(names))


def _are_many(store: str, gone: set[str]) -> bool:
    """Whether some overlays have so many of all files that to lose them may be a slip."""
    if not gone:
        return False
    counts = {
        name: len(trees.files_in(f"{store}/overlays/{name}")) for name in stores.overlays(store)
    }
    return staying.are_many(sum(counts[name] for name in gone), sum(counts.values()))


def _prune_releases(job: _MirrorRun, overlay: str, listed: Contents, *, is_slip: bool) -> None:
    """Remove an overlay's rings and releases that are no more, the rings first.

    A release to which a ring leads here, since the next one could not be taken, stays.
    """
    top = f"{job.store}/releases/{overlay}"
    names = set(filter(_is_shown, tree.names(top)))
    links = {name for name in names if os.path.islink(f"{top}/{name}")}
    for name in [] if is_slip else sorted(links.difference(listed.links)):
        atomic.remove(f"{top}/{name}")
        job.done.gone.append(f"releases/{overlay}/{name}")
    stays = {*listed.names, *(_target(f"{top}/{name}") for name in links)}
    gone = {name for name in names - links - stays if os.path.isdir(f"{top}/{name}")}
    _remove(job, f"releases/{overlay}", gone, is_slip=is_slip)


def _remove(job: _MirrorRun, module: str, names: set[str], *, is_slip: bool) -> None:
    if names and is_slip:
        job.done.refused.append(
            f"{module}: {', '.join(sorted(names))} would go, and little would be left: kept"
            " (is its disk mounted, there? If it is meant, remove them here)"
        )
        return
    for name in sorted(names):
        with _going_on(job):
            trees.remove(job.store, Piece(module, name))
            job.done.gone.append(f"{module}/{name}")


def _is_shown(name: str) -> bool:
    return not name.startswith(".")
