"""Fetch: bring the overlays into a new generation of the mirror, or find nothing to do.

    ask → fetch beside → guard → sync → switch by one rename

A generation is complete or not there, and what the switch replaces stays whole (RULES A8, B17).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from allie.client import generation as generations
from allie.client import prelink, state
from allie.client.accept import accept
from allie.client.generation import Generation
from allie.core import digest
from allie.core.errors import StateError, StoreError, Unreachable
from allie.core.report import Contact
from allie.core.settings import Settings
from allie.core.system import System
from allie.core.value import Value
from allie.machine import atomic, console, process, rsync, tree
from allie.machine.process import Finished
from allie.machine.rsync import Version

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
    linked = 0
    if before and before.overlays == settings.overlays:
        asked = _ask(able, reach, pulls, before, store, settings)
        if not asked:
            _forget_parts(here)
            return before, ()
        part, links = _prepare(here, before)
        linked = prelink.link_unchanged(before, part, asked)
        links.remove(before.path)
    else:
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
    lagging = _lagging(store, settings, contact)
    return accept(here, settings, part, before, linked, lagging=lagging)


def _ask(
    able: Version,
    reach: list[str],
    pulls: list[tuple[list[str], str]],
    before: Generation,
    store: str,
    settings: Settings,
) -> set[str]:
    """What a fetch would change, as `overlay/path`; empty if the store has what we have."""
    changed = set()
    for wanted, into in pulls:
        argv = rsync.ask(able, reach, wanted, into.format(before.path))
        above = into.format("")[1:]
        for name in rsync.parse_answer(_run(argv, store, settings, only_reads=True).out):
            changed.add(f"{above}/{name}" if above else name)
    return changed


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
