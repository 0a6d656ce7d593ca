"""Fetch: bring the overlays into a new generation of the mirror, or find nothing to do.

    ask → fetch beside → guard → sync → switch by one rename

A generation is complete or not there, and what the switch replaces stays whole (RULES A8, B17).
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable

from allie.client import generation as generations
from allie.client import state
from allie.client.generation import Generation
from allie.core import digest
from allie.core.errors import StateError, StoreError, Unreachable
from allie.core.plan import MANY
from allie.core.report import Contact
from allie.core.resolution import CONSENT
from allie.core.settings import Settings
from allie.core.system import System
from allie.core.value import Value
from allie.machine import atomic, console, process, rsync, tree
from allie.machine.process import Finished

_LAGS = 24 * 3600  # seconds for which another server may not take files away


class Fetched(Value):
    """What a fetch came to."""

    generation: Generation | None
    names: tuple[str, ...]  # what it brought or changed, `overlay/path`
    contact: Contact


def fetch(here: System, settings: Settings) -> Fetched:
    """Bring the store's overlays; where that cannot be, the present generation stands.

    Raises nothing for a store that is away or refused: the trouble is in the contact.
    Raises StateError where this PC's own disk stops us.
    """
    before = generations.current(here)
    contact = state.contact(here)
    trouble: StoreError | None = None
    for store in in_own_order(settings):
        try:
            after, names = _from(store, here, settings, before, contact)
            fresh = _met(store, settings, contact, after.number)
            same = fresh._replace(good=contact.good, answered=contact.answered) == contact
            if not same or abs(fresh.good - contact.good) > 60:
                state.save_contact(here, fresh)
            _note_names(here, names)
            return Fetched(after, names, fresh)
        except StoreError as error:
            trouble = trouble if trouble and isinstance(error, Unreachable) else error
    refused = not isinstance(trouble, Unreachable)
    contact = contact.after_trouble(str(trouble), time.time(), refused)
    state.save_contact(here, contact)
    _note_names(here, ())
    return Fetched(before, (), contact)


def in_own_order(settings: Settings) -> list[str]:
    """The stores in this host's own order, so that a room of PCs spreads over the servers."""
    if len(settings.stores) == 1:
        return list(settings.stores)
    name = settings.host or os.uname().nodename

    def place(store: str) -> str:
        return digest.of(f"{name} {store}".encode())

    return sorted(settings.stores, key=place)


def overlay_path(settings: Settings, overlay: str) -> str:
    """Where an overlay stands in the store: its working tree, or the release of our ring."""
    if settings.ring and overlay != "kit":
        return f"releases/{overlay}/{settings.ring}/"
    return f"overlays/{overlay}"


def _from(
    store: str, here: System, settings: Settings, before: Generation | None, contact: Contact
) -> tuple[Generation, tuple[str, ...]]:
    """Bring everything from one store: the generation then in force, and what is new in it."""
    able = rsync.version(f"{here.state}/rsync")
    reach = rsync.transport(store, settings.stall)
    reach += rsync.exact_times(able, f"{here.state}/rsync")
    pulls = _pulls(store, settings)
    if before and before.overlays == settings.overlays:
        answers = [
            _run(
                rsync.ask(able, reach, wanted, into.format(before.path)),
                store,
                settings,
                only_reads=True,
            )
            for wanted, into in pulls
        ]
        if not any(answer.out.strip() for answer in answers):
            _forget_parts(here)
            return before, ()
    part, links = _prepare(here, before)
    words, show = console.progress(f"{here.name or here.root}: overlays")
    for wanted, into in pulls:
        os.makedirs(into.format(part), 0o700, exist_ok=True)
        under = [into.format(link) for link in links]
        argv = rsync.fetch(able, reach + words, wanted, into.format(part), under)
        try:
            _run(argv, store, settings, show)
        except StateError:  # a full disk: what we filled it with goes at once
            tree.remove(part)
            tree.remove(f"{here.mirror}/left")
            raise
    return _switch(here, settings, part, before, _lagging(store, settings, contact))


def _met(store: str, settings: Settings, contact: Contact, number: int) -> Contact:
    """How we stand with the store, now that this server has answered.

    One that has the same as the last server does not take its place: or, when that one is back,
    it would pass for one that lags behind.
    """
    now = time.time()
    stands_in = number == contact.generation and contact.server in settings.stores
    server = contact.server if stands_in else store
    return Contact(server, number, now, answered=now if server == store else contact.answered)


def _pulls(store: str, settings: Settings) -> list[tuple[list[str], str]]:
    """The rsync calls that bring all overlays: (sources, pattern of the target directory).

    All working trees come in one call; a ring's target differs from its name, so each has its own.
    """
    together = [
        name for name in settings.overlays if not overlay_path(settings, name).endswith("/")
    ]
    alone = [name for name in settings.overlays if name not in together]
    pulls = []
    if together:
        paths = [overlay_path(settings, name) for name in together]
        pulls.append((rsync.sources(store, paths), "{}"))
    return pulls + [
        (rsync.sources(store, [overlay_path(settings, name)]), "{}/" + name) for name in alone
    ]


def _run(
    argv: list[str],
    store: str,
    settings: Settings,
    show: Callable[[bytes], None] | None = None,
    *,
    only_reads: bool = False,
) -> Finished:
    """One rsync; a store that changes under our hands is asked a second time."""
    finished = process.run(argv, stall=settings.stall, on_output=show, only_reads=only_reads)
    if rsync.may_settle(finished):
        finished = process.run(argv, stall=settings.stall, on_output=show, only_reads=only_reads)
    rsync.check(finished, store)
    return finished


def _prepare(here: System, before: Generation | None) -> tuple[str, list[str]]:
    """A new empty directory for the generation to come, and the trees that it may link to.

    A part that a killed tick left is a second source of links. It is never written into: rsync
    would change the attributes of files that it shares with the present generation.
    """
    part = f"{here.mirror}/{generations.next_number(here)}.part"
    try:
        os.makedirs(here.mirror, 0o700, exist_ok=True)
        left = f"{here.mirror}/left"
        leftovers = [name for name in os.listdir(here.mirror) if name.endswith(".part")]
        for name in leftovers:
            if name != "current.part":
                tree.remove(left)
                os.rename(f"{here.mirror}/{name}", left)
        os.mkdir(part, 0o700)
    except OSError as error:
        raise StateError(f"cannot make {part}: {error.strerror}") from error
    links = [before.path] if before else []
    return part, links + ([left] if os.path.isdir(left) else [])


def _forget_parts(here: System) -> None:
    """What was fetched and not taken is of no use once the store has what we have."""
    for name in os.listdir(here.mirror):
        if name == "left" or (name.endswith(".part") and name != "current.part"):
            tree.remove(f"{here.mirror}/{name}")


def _switch(
    here: System, settings: Settings, part: str, before: Generation | None, lagging: bool
) -> tuple[Generation, tuple[str, ...]]:
    """Judge the finished part, and make it the generation in force."""
    number = int(os.path.basename(part).partition(".")[0])
    after = Generation(number, part, settings.overlays)
    for name in after.overlays:
        if not stat.S_ISDIR(os.lstat(f"{part}/{name}").st_mode):
            raise StoreError(f"overlay {name} of the store is not a directory: nothing is taken")
    generations.complete(after)
    new = {name: _files(after, name) for name in after.overlays}
    old = {name: _files(before, name) for name in before.overlays} if before else {}
    _guard(after, settings, old, new, lagging)
    atomic.sync_filesystem(part)
    path = f"{here.mirror}/{number}"
    os.rename(part, path)
    atomic.point(here.current, str(number))
    tree.remove(f"{here.mirror}/left")
    changed = {
        f"{overlay}/{name}"
        for overlay, files in new.items()
        for name, inode in files.items()
        if old.get(overlay, {}).get(name) != inode
    }
    gone = {
        f"{overlay}/{name}"
        for overlay in old
        for name in old[overlay].keys() - new.get(overlay, {}).keys()
    }
    return after._replace(path=path), tuple(sorted(changed | gone))


def _files(generation: Generation, overlay: str) -> dict[str, int]:
    """The files of one overlay of a generation: path → inode (a changed file has a new one)."""
    top = f"{generation.path}/{overlay}"
    return {
        path: os.lstat(f"{top}/{path}").st_ino
        for path, is_dir in generations.names_in(generation, overlay)
        if not is_dir and path != CONSENT
    }


def _guard(
    after: Generation,
    settings: Settings,
    old: dict[str, dict[str, int]],
    new: dict[str, dict[str, int]],
    lagging: bool,
) -> None:
    """Refuse a generation that lost so much that the server must be ill. Raises StoreError."""
    all_lost = all_had = 0
    for overlay, files in old.items():
        lost = files.keys() - new.get(overlay, {}).keys()
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


def _lagging(store: str, settings: Settings, contact: Contact) -> bool:
    """Whether this server stands in for the last one, which was there within a day.

    One that allie.conf names no more is not stood in for: the administrator moved the store.
    """
    stands_in = contact.server != store and contact.server in settings.stores
    return stands_in and abs(time.time() - contact.answered) < _LAGS  # abs: clocks jump


def _note_names(here: System, names: tuple[str, ...]) -> None:
    """Keep the list of files that were fetched on this occasion (it may be empty: the seed)."""
    text = "".join(f"{name}\n" for name in names)
    if text or atomic.read(here.fetched):
        atomic.write(here.fetched, text, durable=False)
