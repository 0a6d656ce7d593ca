"""Accept: judge what was fetched, and make it the generation in force by one rename.

A generation that lost much, or grew by much, is refused whole: the server is more likely to be ill
than its administrator to mean it. No word of the store's lets an overlay grow
beyond what a tick can handle, since the store may be hostile.

docs/internals/rules.md, "A store may be empty by accident".
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from allie.client.mirror import generation as generations
from allie.client.mirror import incremental
from allie.client.mirror.generation import CONSENTS, Changes, Generation
from allie.core import stubs
from allie.core.change import staying
from allie.core.change.resolution import CONSENT, LARGE, MANY_NAMES, MOST_NAMES, Listed
from allie.core.conf.settings import Settings
from allie.core.errors import StoreError, Unreachable
from allie.core.system import System
from allie.machine.files import atomic, tree
from allie.machine.transfer.rsync import Answer

_Trees = dict[str, list[Listed]]  # overlay → the names in it
_TIMES, _AT_LEAST = 10, 500  # or so many times as many as it had, and so many more


class Grown(StoreError):
    """An overlay is larger than anybody is likely to mean: what was fetched of it is of no use."""

    def __init__(self, overlay: str, had: int, has: int) -> None:
        was = f" from {had}" if had else ""
        size = f"to {has} names" if has <= MOST_NAMES else f"beyond {MOST_NAMES} names"
        meant = f"if it is meant: touch overlays/{overlay}/{LARGE}"
        hint = meant if has <= MOST_NAMES else "make it smaller"
        super().__init__(f"overlay {overlay} grew{was} {size}: nothing is taken", hint)


def accept_whole(
    here: System, settings: Settings, part: str, before: Generation | None, *, lagging: bool
) -> tuple[Generation, tuple[str, ...]]:
    """Switch to a part that holds all: the generation in force, and the files that are new in it.

    lagging: this server stands in for another. Raises StoreError, and the present one stands.
    """
    after = Generation(_number(part), part, settings.overlays)
    _need_directories(part, after.overlays)
    new = {name: _listing(part, name) for name in after.overlays}
    old = {name: generations.names_in(before, name) for name in before.overlays} if before else {}
    _need_size(settings, old, new)
    news = _compare(settings, old, new, new, lagging)
    generations.note(after, new)
    off_the_list = before.consents.difference(after.overlays) if before else ()
    if off_the_list:
        atomic.write(f"{part}/{CONSENTS}", "\n".join(off_the_list), durable=False)
    atomic.sync_filesystem(part)
    brought = [name for name in news if not before or not _is_one(before.path, part, name)]
    path = f"{here.mirror}/{after.number}"
    os.rename(part, path)
    atomic.point(here.current, str(after.number))
    tree.remove(f"{here.mirror}/left")
    return after._replace(path=path), tuple(brought)


def accept_change(
    here: System,
    settings: Settings,
    part: str,
    before: Generation,
    left: tuple[str, ...],
    *,
    lagging: bool,
) -> tuple[Generation, tuple[str, ...]]:
    """The same for a part that holds just what changed. left: what is gone, as `overlay/path`."""
    present = [name for name in before.overlays if os.path.lexists(f"{part}/{name}")]
    _need_directories(part, present)
    fresh = {name: _listing(part, name) for name in present}
    old = {name: generations.names_in(before, name) for name in before.overlays}
    gone = {name: _below(name, left) for name in before.overlays}
    new = {name: changed(old[name], fresh.get(name, []), gone[name]) for name in before.overlays}
    _need_size(settings, old, new)
    news = _compare(settings, old, new, fresh, lagging)
    after = Generation(_number(part), part, before.overlays)
    generations.note(after, {name: new[name] for name in new if new[name] != old[name]})
    came = frozenset(f"{overlay}/{path}" for overlay in fresh for path, _ in fresh[overlay])
    generations.note_changes(after, Changes(before.number, new == old, came))
    incremental.commit(
        here, part, [n for each in old for n in _leaves(each, old[each], new[each], gone)]
    )
    tree.remove(f"{here.mirror}/left")
    return after._replace(path=f"{here.mirror}/{after.number}"), tuple(news)


def need_size(settings: Settings, before: Generation, asked: Answer) -> None:
    """Raise Grown where the answer alone says that too much would come, before any of it does."""
    if len(asked.changed) <= _AT_LEAST:
        return
    old = {name: generations.names_in(before, name) for name in before.overlays}
    new = {
        name: changed(names, [Listed(each, False) for each in _below(name, asked.changed)], set())
        for name, names in old.items()
    }
    _need_size(settings, old, new)


def changed(old: list[Listed], fresh: list[Listed], gone: set[str]) -> list[Listed]:
    """The names of a tree after a change of it; parents come before children.

    fresh: what is new or differs, with the directories above it. gone: what is no more.
    """
    now = dict(fresh)
    out = gone - now.keys()
    kept: dict[str, bool] = {}
    for path, is_dir in old:
        above = path.rpartition("/")[0]
        if path in out or above in out or now.get(above) is False:
            out.add(path)
        elif now.get(path, is_dir) == is_dir:
            kept[path] = is_dir
    return [Listed(*each) for each in {**kept, **now}.items()]


def _number(part: str) -> int:
    return int(os.path.basename(part).partition(".")[0])


def _need_directories(part: str, names: Sequence[str]) -> None:
    for name in names:
        st = tree.status(f"{part}/{name}")
        if st is None or not tree.is_directory(st):
            raise StoreError(f"overlay {name} of the store is not a directory: nothing is taken")


def _listing(part: str, overlay: str) -> list[Listed]:
    names = []
    for each in tree.listing(f"{part}/{overlay}"):
        names.append(Listed._make(each))
        if len(names) > MOST_NAMES:
            raise Grown(overlay, 0, len(names))
    return names


def _need_size(
    settings: Settings, old: Mapping[str, list[Listed]], new: Mapping[str, list[Listed]]
) -> None:
    """Raise Grown where an overlay grew by more than anybody is likely to mean."""
    for overlay, names in new.items():
        had, has = len(old.get(overlay, ())), len(names)
        crossed = had <= MANY_NAMES < has
        jumped = had and has > had * _TIMES and has > had + _AT_LEAST
        is_meant = (settings.ring and overlay != stubs.KIT) or Listed(LARGE, False) in names
        if has > MOST_NAMES or ((crossed or jumped) and not is_meant):
            raise Grown(overlay, had, has)


def _below(overlay: str, names: tuple[str, ...]) -> set[str]:
    """The names in one overlay, of names that begin with an overlay's."""
    top = overlay + "/"
    return {name[len(top) :] for name in names if name.startswith(top)}


def _leaves(
    overlay: str, old: list[Listed], new: list[Listed], gone: Mapping[str, set[str]]
) -> list[str]:
    """What is to leave the tree, as `overlay/path`; what changes its kind does not.

    Also what never was the store's, but somebody's who put it there: else the store's answer would
    be at every tick that it is to go.
    """
    stays, known = {each.spelling for each in new}, {each.spelling for each in old}
    left = [name for name, _ in old if name not in stays]
    return [f"{overlay}/{name}" for name in left + sorted(gone[overlay] - known)]


def _files(names: list[Listed]) -> set[str]:
    return {path for path, is_dir in names if not is_dir and path not in (CONSENT, LARGE)}


def _is_one(before: str, part: str, name: str) -> bool:
    """Whether a name is one inode in both: rsync linked what did not change."""
    st, other = tree.status(f"{before}/{name}"), tree.status(f"{part}/{name}")
    return st is not None and other is not None and st.st_ino == other.st_ino


def _compare(
    settings: Settings, old: _Trees, new: _Trees, fresh: _Trees, lagging: bool
) -> list[str]:
    """The files that are fresh or gone, as `overlay/path`, in order.

    Raises StoreError where so much is lost that the server must be ill.
    """
    news = [f"{overlay}/{path}" for overlay in fresh for path in _files(fresh[overlay])]
    all_lost = all_had = 0
    for overlay, names in old.items():
        had = _files(names)
        lost = had - _files(new.get(overlay, []))
        all_had += len(had)
        if not lost:
            continue
        news += [f"{overlay}/{path}" for path in lost]
        if lagging and overlay in new:
            raise Unreachable(
                f"this server lacks {len(lost)} files of {overlay} that the usual one had",
                "it is taken as lagging behind for 24 h",
            )
        released = settings.ring and overlay != stubs.KIT
        if released or overlay not in new or Listed(CONSENT, False) in new[overlay]:
            continue
        all_lost += len(lost)
        if not _files(new[overlay]) or staying.are_many(len(lost), len(had)):
            raise StoreError(
                f"overlay {overlay} lost {len(lost)} of its {len(had)} files: nothing is taken",
                f"is its disk mounted? If it is meant: touch overlays/{overlay}/{CONSENT}",
            )
    if staying.are_many(all_lost, all_had):
        raise StoreError(
            f"the overlays lost {all_lost} of their {all_had} files: nothing is taken",
            f"are their disks mounted? If it is meant: touch overlays/NAME/{CONSENT}",
        )
    return sorted(news)
