"""Accept: judge what was fetched, and make it the generation in force by one rename.

A generation that lost much, or grew by much, is refused whole: the server is more likely to be ill
than its administrator to mean it. No word of the store's lets an overlay grow beyond what a tick
can handle, since the store may be hostile. Nearly every fetch finds nothing new, and does not load
this (`client.mirror.fetch`).

docs/internals/rules.md, "A store may be empty by accident".
"""

from __future__ import annotations

import os
import stat
from _collections_abc import Iterable, Mapping

from allie.client.mirror import generation as generations
from allie.client.mirror import incremental
from allie.client.mirror.generation import CONSENTS, Changes, Generation
from allie.core import stubs
from allie.core.change import staying
from allie.core.change.resolution import CONSENT, LARGE, MANY_NAMES, MOST_NAMES, Listed
from allie.core.conf.settings import PRIVATE, Settings
from allie.core.errors import StoreError, Unreachable
from allie.core.system import System
from allie.core.value import Value
from allie.machine.files import atomic, tree
from allie.machine.transfer.rsync import Answer

_Trees = Mapping[str, list[Listed]]  # overlay → the names in it
_TIMES, _AT_LEAST = 10, 500  # or so many times as many as it had, and so many more


class Grown(StoreError):
    """An overlay is larger than anybody is likely to mean: what was fetched of it is of no use."""

    def __init__(self, overlay: str, had: int, has: int, host: str) -> None:
        was = f" from {had}" if had else ""
        size = f"to {has} names" if has <= MOST_NAMES else f"beyond {MOST_NAMES} names"
        meant = f"if it is meant: touch {_place(overlay, host)}/{LARGE}"
        hint = meant if has <= MOST_NAMES else "make it smaller"
        super().__init__(f"overlay {overlay} grew{was} {size}: nothing is taken", hint)


class Came(Value):
    """What was fetched, beside the generation in force."""

    before: Generation | None  # the one in force
    after: Generation  # the one to come; its path is where all of it, or the change, was fetched to
    old: _Trees
    new: _Trees
    fetched: _Trees  # those of the new names that were fetched
    gone: Mapping[str, set[str]] | None = None  # by overlay, what is to leave; None: all is fetched


def as_change(settings: Settings, before: Generation | None, asked: Answer | None) -> Answer | None:
    """What the store says would change, if just that can be fetched; None: all is to be.

    Raises Grown where its words alone tell that too much would come.
    """
    if before is None or asked is None:
        return None
    if len(asked.changed) > _AT_LEAST:
        old = _names(before)
        come = {name: [Listed(each, False) for each in _below(name, asked.changed)] for name in old}
        _need_size(
            settings.ring, old, {name: changed(old[name], come[name], set()) for name in old}
        )
    return None if settings.ring or asked.links or _have_links(before, asked.changed) else asked


def look(after: Generation, before: Generation | None, change: Answer | None) -> Came:
    """Look at what was fetched. change: what the store said of it, if it is no more than that.

    Raises StoreError where an overlay is no directory, or has more names than any may have.
    """
    present = [
        name for name in after.overlays if not change or os.path.lexists(f"{after.path}/{name}")
    ]
    fetched = {name: _listing(f"{after.path}/{name}", name) for name in present}
    old = _names(before) if before else {}
    if not change:
        return Came(before, after, old, fetched, fetched)
    gone = {name: _below(name, change.gone) for name in old}
    new = {name: changed(old[name], fetched.get(name, []), gone[name]) for name in old}
    return Came(before, after, old, new, fetched, gone)


def judge(came: Came, settings: Settings, *, lagging: bool) -> tuple[str, ...]:
    """The files that are new or gone, as `overlay/path`, in order.

    lagging: this server stands in for another. Raises StoreError where so much is lost, or has
    come, that the store must be ill.
    """
    common = came._replace(old=_common(came.old), new=_common(came.new))
    _need_size(settings.ring, common.old, common.new)
    lost = {name: _files(had) - _files(came.new.get(name, ())) for name, had in came.old.items()}
    _need_few_lost(common, settings.ring, lost, lagging=lagging)
    if lagging:
        _need_none_older(common._replace(fetched=_common(came.fetched)))
    news = {f"{overlay}/{path}" for overlay, has in came.fetched.items() for path in _files(has)}
    if came.before and came.gone is None:
        before, after = came.before.path, came.after.path
        news = {name for name in news if not _is_one(f"{before}/{name}", f"{after}/{name}")}
    news.update(f"{overlay}/{path}" for overlay, paths in lost.items() for path in paths)
    return tuple(sorted(news))


def judge_private(before: Generation | None, beside: str, tree: str, host: str) -> None:
    """The same of what this host's own door brought, which no other's lets it lack or wait for.

    host: as the store calls it. Raises StoreError where it lost, or grew, so much that the store
    must be ill.
    """
    new = {PRIVATE: _listing(tree, PRIVATE)}
    had = before is not None and PRIVATE in before.overlays
    old = {PRIVATE: generations.names_in(before, PRIVATE)} if before and had else {}
    _need_size("", old, new, host)
    lost = {PRIVATE: _files(old.get(PRIVATE, ())) - _files(new[PRIVATE])}
    came = Came(before, Generation(0, beside, (PRIVATE,)), old, new, new)
    _need_few_lost(came, "", lost, host, lagging=False)


def put_in_force(here: System, came: Came) -> Generation:
    """Make what was fetched the generation in force, by one rename."""
    before, after = came.before, came.after
    path = f"{here.mirror}/{after.number}"
    if before and came.gone is not None:
        differ = {name: has for name, has in came.new.items() if has != came.old[name]}
        generations.note(after, differ)
        files = frozenset(f"{name}/{each}" for name, has in came.fetched.items() for each, _ in has)
        generations.note_changes(after, Changes(before.number, not differ, files))
        incremental.commit(here, after.path, _leave(came, came.gone))
    else:
        generations.note(after, came.new)
        off_the_list = before.consents.difference(after.overlays) if before else ()
        if off_the_list:
            atomic.write(f"{after.path}/{CONSENTS}", "\n".join(off_the_list), durable=False)
        atomic.sync_filesystem(after.path)
        os.rename(after.path, path)
        atomic.point(here.current, str(after.number))
    generations.forget_half_fetched(here)
    return after._replace(path=path)


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


def _names(generation: Generation) -> _Trees:
    return {name: generations.names_in(generation, name) for name in generation.overlays}


def _common(trees: _Trees) -> _Trees:
    """Without this host's own overlay, which is judged by itself."""
    return {name: names for name, names in trees.items() if name != PRIVATE}


def _place(overlay: str, host: str) -> str:
    """Where an overlay stands in the store, for people."""
    return f"{PRIVATE}/{host}" if overlay == PRIVATE else f"overlays/{overlay}"


def _listing(top: str, overlay: str) -> list[Listed]:
    st = tree.status(top)
    if st is None or not tree.is_directory(st):
        raise StoreError(f"overlay {overlay} of the store is not a directory: nothing is taken")
    names = []
    for each in tree.listing(top):
        names.append(Listed._make(each))
        if len(names) > MOST_NAMES:
            raise Grown(overlay, 0, len(names), "")
    return names


def _below(overlay: str, names: tuple[str, ...]) -> set[str]:
    """The names in one overlay, of names that begin with an overlay's."""
    top = overlay + "/"
    return {name[len(top) :] for name in names if name.startswith(top)}


def _have_links(generation: Generation, names: Iterable[str]) -> bool:
    """Whether one of these, `overlay/path`, is a hard link or a symlink there.

    The names of a hard link change together. And where a directory takes a symlink's place, rsync
    has looked for what is to be in it behind the link.
    """
    stats = [tree.status(f"{generation.path}/{name}") for name in names]
    links = [st for st in stats if st and not tree.is_directory(st)]
    return any(st.st_nlink > 1 or stat.S_ISLNK(st.st_mode) for st in links)


def _leave(came: Came, gone: Mapping[str, set[str]]) -> list[str]:
    """What is to leave the tree, as `overlay/path`; what changes its kind does not.

    Also what never was the store's, but somebody's who put it there: else the store's answer would
    be at every tick that it is to go.
    """
    leave = []
    for overlay, names in came.old.items():
        stays, known = dict(came.new[overlay]), dict(names)
        left = [name for name in known if name not in stays]
        leave += [f"{overlay}/{name}" for name in (*left, *sorted(gone[overlay] - known.keys()))]
    return leave


def _files(names: Iterable[Listed]) -> set[str]:
    return {path for path, is_dir in names if not is_dir and path not in (CONSENT, LARGE)}


def _is_one(path: str, other: str) -> bool:
    """Whether two names are one inode: rsync linked what did not change."""
    st, of_other = tree.status(path), tree.status(other)
    return st is not None and of_other is not None and st.st_ino == of_other.st_ino


def _need_size(
    ring: str, old: Mapping[str, list[Listed]], new: Mapping[str, list[Listed]], host: str = ""
) -> None:
    """Raise Grown where an overlay grew by more than anybody is likely to mean.

    ring: whose releases are followed, "" for none: what is published is meant, but for the kit.
    host: whose the private overlay is, if it is judged.
    """
    for overlay, names in new.items():
        had, has = len(old.get(overlay, ())), len(names)
        crossed = had <= MANY_NAMES < has
        jumped = had and has > had * _TIMES and has > had + _AT_LEAST
        is_meant = (ring and overlay != stubs.KIT) or Listed(LARGE, False) in names
        if has > MOST_NAMES or ((crossed or jumped) and not is_meant):
            raise Grown(overlay, had, has, host)


def _need_none_older(came: Came) -> None:
    """Raise Unreachable where a server that stands in has an older file than the usual one had."""
    if not came.before:
        return
    for overlay, has in came.fetched.items():
        for name in sorted(f"{overlay}/{path}" for path in _files(has)):
            had = tree.status(f"{came.before.path}/{name}")
            new = tree.status(f"{came.after.path}/{name}")
            if had and new and new.st_mtime_ns < had.st_mtime_ns and not tree.is_directory(had):
                words = f"this server has an older {name} than the usual one had"
                raise Unreachable(words, "it is taken as lagging behind for 24 h")


def _need_few_lost(
    came: Came, ring: str, lost: Mapping[str, set[str]], host: str = "", *, lagging: bool
) -> None:
    """Raise StoreError where so many files are lost that the server must be ill.

    ring, host: as in `_need_size`.
    """
    all_lost = all_had = 0
    for overlay, names in came.old.items():
        had, gone = len(_files(names)), len(lost[overlay])
        all_had += had
        if not gone:
            continue
        has = came.new.get(overlay)
        if lagging and has is not None:
            words = f"this server lacks {gone} files of {overlay} that the usual one had"
            raise Unreachable(words, "it is taken as lagging behind for 24 h")
        released = ring and overlay != stubs.KIT
        if released or has is None or Listed(CONSENT, False) in has:
            continue
        all_lost += gone
        if not _files(has) or staying.are_many(gone, had):
            place = _place(overlay, host)
            words = f"overlay {overlay} lost {gone} of its {had} files: nothing is taken"
            raise StoreError(words, f"is its disk mounted? If it is meant: touch {place}/{CONSENT}")
    if staying.are_many(all_lost, all_had):
        raise StoreError(
            f"the overlays lost {all_lost} of their {all_had} files: nothing is taken",
            f"are their disks mounted? If it is meant: touch overlays/NAME/{CONSENT}",
        )
