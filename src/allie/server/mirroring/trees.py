"""One tree of a mirror (an overlay, an image, a release): fetched beside, judged, switched.

    ask → fetch beside → judge → switch by one rename

So each is complete or not there, and after a kill the next run goes on from what had come
(`images.draft`). A PC that is reading what is replaced reads on in it.

docs/internals/rules.md, "A mirror's tree is replaced under its readers".
"""

from __future__ import annotations

import os

from allie.core.change import staying
from allie.core.change.resolution import CONSENT, LARGE
from allie.core.errors import NoRoom, StoreError
from allie.core.value import Value
from allie.machine import console
from allie.machine.files import tree
from allie.machine.transfer import rsync
from allie.server.images import draft
from allie.server.images.draft import Draft
from allie.server.mirroring import upstream
from allie.server.mirroring.upstream import Upstream


class Piece(Value):
    """A tree by its name, which is the same on both sides."""

    module: str  # overlays, images, or releases/OVERLAY
    name: str

    @property
    def path(self) -> str:
        """Where it is in a store."""
        return f"{self.module}/{self.name}"


def bring(up: Upstream, store: str, piece: Piece) -> None:
    """Make a tree what the store at the other end has.

    Raises StoreError where that is not to be taken, or the store is away; Busy; StateError.
    """
    with draft.begun(store, piece.name, piece.module) as work:
        try:
            _fetch(up, work, piece)
            _judge(work, piece)
        except NoRoom:
            draft.drop(work)  # a full disk gets its room back at once
            raise
        draft.switch_as_it_is(work)


def is_equal(up: Upstream, store: str, piece: Piece, *, thorough: bool) -> bool:
    """Whether a tree, that is here, is as the other store has it."""
    return not upstream.differs(up, piece.path, f"{store}/{piece.path}", thorough=thorough)


def remove(store: str, piece: Piece) -> None:
    """Remove a tree that the other store has no more."""
    with draft.begun(store, piece.name, piece.module) as work:
        draft.withdraw(work)


def tidy(store: str, module: str, wanted: set[str]) -> None:
    """Remove what earlier runs have left: half of what is wanted no more, and what was replaced.

    What is still being read, or worked on by somebody else, stays.
    """
    for name in draft.names(store, module):
        with draft.begun(store, name, module) as work:
            if name not in wanted or os.path.isdir(work.image):
                draft.drop(work)


def files_in(top: str) -> set[str]:
    """The files of an overlay, but for the two that only say something about it."""
    return {name for name, is_dir in tree.listing(top) if not is_dir} - {CONSENT, LARGE}


def _fetch(up: Upstream, work: Draft, piece: Piece) -> None:
    for _ in range(2):
        draft.fresh(work)
        links = [*work.links, *_like(work, piece)]
        follow = console.progress(piece.path)
        done = upstream.fetch(up, piece.path, work.tree, links, follow)
        if not rsync.may_settle(done):
            break
    rsync.check(done, up.address)


def _like(work: Draft, piece: Piece) -> list[str]:
    """Of a release, the one before: most of it is the same."""
    if not piece.module.startswith("releases/"):
        return []
    top = os.path.dirname(work.image)
    numbers = sorted(filter(str.isdigit, tree.names(top)), key=int)
    return [f"{top}/{number}" for number in numbers[-1:] if number != piece.name]


def _judge(work: Draft, piece: Piece) -> None:
    """Raise StoreError where what came is more likely a slip, or a disk that is not mounted."""
    trouble = hint = ""
    if piece.module == "images" and not {"etc", "usr"}.intersection(tree.names(work.tree)):
        trouble, hint = "is no system", "is its disk mounted? It has neither etc nor usr"
    if piece.module == "overlays" and os.path.isdir(work.image):
        had, has = files_in(work.image), files_in(work.tree)
        lost = len(had - has)
        is_slip = (lost and not has) or staying.are_many(lost, len(had))
        if is_slip and not os.path.lexists(f"{work.tree}/{CONSENT}"):
            trouble = f"lost {lost} of its {len(had)} files"
            hint = f"is its disk mounted? If it is meant, there: touch {piece.path}/{CONSENT}"
    if trouble:
        draft.drop(work)
        raise StoreError(f"{piece.path} {trouble}: it stays as it is here", hint)
