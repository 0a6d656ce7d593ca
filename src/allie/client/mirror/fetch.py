"""Fetch: bring the overlays into a new generation of the mirror, or find nothing to do.

    ask → fetch beside → guard → sync → switch by one rename

What is fetched is just what the answer names, if that can be: the cost of a change follows the
change, and not the size of the overlays. A generation is in force whole or not at all, and what a
switch replaces is kept for as long as the ledger speaks of it (`fold`). The store
may be hostile: what it takes of time, memory and disk is bounded (`groups.Bounds`).

docs/internals/rules.md, "A mirror may be a mixture", "A second server may lag behind" and "A ring
stays within its module".
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from allie.client.mirror import generation as generations
from allie.client.mirror.accept import Grown, accept_change, accept_whole, need_size
from allie.client.mirror.generation import Generation
from allie.client.state import records
from allie.core import digest, stubs
from allie.core.change.report import Contact
from allie.core.conf.settings import Settings
from allie.core.errors import StateError, StoreError, Unreachable
from allie.core.system import System
from allie.core.value import Value
from allie.machine import console
from allie.machine.files import atomic, tree
from allie.machine.programs import process
from allie.machine.programs.process import Finished
from allie.machine.programs.process_groups import MUCH, Bounds
from allie.machine.transfer import rsync
from allie.machine.transfer.rsync import Answer, Version

_LAGS = 24 * 3600  # seconds for which another server may not take files away
# A fetch of all overlays, from all stores, may take so many times `stall`: half an hour. What came
# until then is linked by the next tick's fetch (`generation.prepare`), which so goes on from there.
_WHOLE = 30


class _Source(Value):
    """One store, and how it is spoken to."""

    store: str
    settings: Settings
    able: Version
    reach: list[str]  # rsync's options
    until: float  # time.monotonic


class Fetched(Value):
    """What a fetch came to."""

    generation: Generation | None
    names: tuple[str, ...]  # what it brought or changed, `overlay/path`
    contact: Contact


def fetch(
    here: System,
    settings: Settings,
    *,
    routine: bool = False,
    exact: bool = False,
    trial: bool = False,
) -> Fetched:
    """Bring the store's overlays; where that cannot be, the present generation stands.

    routine: do not ask after ACLs and attributes; what is fetched brings its own in any case.
    exact: compare all by content, also what has the size and time that it had.
    Raises nothing for a store that is away or refused: the trouble is in the contact. But for a
    trial of settings that are not in force yet it raises StoreError, and notes nothing. Raises
    StateError where this PC's own disk stops us.
    """
    before = generations.current(here)
    contact = records.contact(here)
    trouble: StoreError | None = None
    end = time.monotonic() + settings.stall * _WHOLE
    stores = in_own_order(settings)
    for number, store in enumerate(stores):
        now = time.monotonic()
        until = now + max(0.0, end - now) / (len(stores) - number)  # the next ones get their share
        try:
            source = _source(store, here, settings, until, exact)
            after, names = _from(source, here, before, contact, routine)
            fresh = _met(store, settings, contact, after.number)
            same = fresh._replace(good=contact.good, answered=contact.answered) == contact
            if not same or abs(fresh.good - contact.good) > 60:
                records.save_contact(here, fresh)
            _note_names(here, names)
            return Fetched(after, names, fresh)
        except StoreError as error:
            trouble = trouble if trouble and isinstance(error, Unreachable) else error
    if trial and trouble:
        raise trouble
    refused = not isinstance(trouble, Unreachable)
    contact = contact.after_trouble(str(trouble), time.time(), refused)
    records.save_contact(here, contact)
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
    if settings.ring and overlay != stubs.KIT:
        return f"releases/{overlay}/{settings.ring}/"
    return f"overlays/{overlay}"


def _source(store: str, here: System, settings: Settings, until: float, exact: bool) -> _Source:
    able = rsync.version(f"{here.state}/rsync", limited=True)
    reach = rsync.transport(store, settings.stall)
    reach += rsync.exact_times(able, f"{here.state}/rsync")
    reach += [rsync.BY_CONTENT] * exact
    return _Source(store, settings, able, reach, until)


def _from(
    source: _Source,
    here: System,
    before: Generation | None,
    contact: Contact,
    routine: bool,
) -> tuple[Generation, tuple[str, ...]]:
    """Bring everything from one store: the generation then in force, and what is new in it."""
    settings = source.settings
    lagging = _lagging(source.store, settings, contact)
    if before is None or before.overlays != settings.overlays:
        return _all(here, source, before, lagging)
    asked = _ask(source._replace(able=source.able.plain) if routine else source, before)
    if not asked.changed and not asked.gone:
        generations.forget_parts(here)
        return before, ()
    need_size(settings, before, asked)
    if settings.ring or asked.links or generations.need_all(before, asked.changed):
        return _all(here, source, before, lagging)
    part = _change(here, source, before, asked)
    return accept_change(here, settings, part, before, asked.gone, lagging=lagging)


def _all(
    here: System, source: _Source, before: Generation | None, lagging: bool
) -> tuple[Generation, tuple[str, ...]]:
    """Bring all overlays, whatever the store's answer would be."""
    part = _whole(here, source, before)
    try:
        return accept_whole(here, source.settings, part, before, lagging=lagging)
    except Grown:
        tree.remove(part)
        tree.remove(f"{here.mirror}/left")
        raise


def _ask(source: _Source, before: Generation) -> Answer:
    """What a fetch would change, as `overlay/path`; nothing if the store has what we have.

    Where that is more than fits into an answer, its beginning, and `links`: all is to be fetched.
    """
    changed: list[str] = []
    gone: list[str] = []
    links = False
    for wanted, into in _pulls(source):
        argv = rsync.ask(source.able, source.reach, wanted, into.format(before.path))
        done = _run(argv, source, only_reads=True)
        answer = rsync.parse_answer(done.out)
        above = into.format("")[1:]
        above += "/" * bool(above)
        changed += [above + name for name in answer.changed]
        gone += [above + name for name in answer.gone]
        links = links or answer.links or bool(done.cut)
    return Answer(tuple(changed), tuple(gone), links)


def _whole(here: System, source: _Source, before: Generation | None) -> str:
    """Fetch all into a new part; what did not change is linked to the present generation.

    A ring is always fetched so: between a question and its answer it may come to mean another
    release, and half of each would be neither.
    """
    part, trees = generations.prepare(here, before)
    words, show = console.progress(f"{here.name or here.root}: overlays")
    words += [rsync.BY_CONTENT] * bool(source.settings.ring and trees)
    source = source._replace(reach=source.reach + words)
    with _no_leftovers(here, part):
        for wanted, into in _pulls(source):
            os.makedirs(into.format(part), 0o700, exist_ok=True)
            links = [into.format(each) for each in trees]
            argv = rsync.fetch(source.able, source.reach, wanted, into.format(part), links)
            _run(argv, source, show=show, disk=here.mirror)
    return part


def _change(here: System, source: _Source, before: Generation, asked: Answer) -> str:
    """Fetch just what changed into a new part, with the directories that stand above it."""
    part, trees = generations.prepare(here, before)
    words, show = console.progress(f"{here.name or here.root}: overlays")
    emptier = [os.path.dirname(name) for name in asked.gone]  # their time is another now
    names = dict.fromkeys([*asked.changed, *emptier])
    gone = set(asked.gone)
    wanted = rsync.names([name for name in names if name and name not in gone])
    top = rsync.sources(source.store, ["overlays"])[0]
    words += [rsync.BY_CONTENT]  # else a file that we have, of the same time, would do
    argv = rsync.fetch_some(source.able, source.reach + words, top, part, trees)
    with _no_leftovers(here, part):
        _run(argv, source, show=show, names=wanted, disk=here.mirror)
    return part


@contextmanager
def _no_leftovers(here: System, part: str) -> Iterator[None]:
    """Where the disk is full, what we filled it with goes at once."""
    try:
        yield
    except StateError:
        tree.remove(part)
        tree.remove(f"{here.mirror}/left")
        raise


def _met(store: str, settings: Settings, contact: Contact, number: int) -> Contact:
    """How we stand with the store, now that this server has answered.

    One that has the same as the last server does not take its place: or, when that one is back,
    it would pass for one that lags behind.
    """
    now = time.time()
    stands_in = number == contact.generation and contact.server in settings.stores
    server = contact.server if stands_in else store
    return Contact(server, number, now, answered=now if server == store else contact.answered)


def _pulls(source: _Source) -> list[tuple[list[str], str]]:
    """The rsync calls that bring all overlays: (sources, pattern of the target directory).

    All working trees come in one call; a ring's target differs from its name, so each has its own.
    """
    paths = {name: overlay_path(source.settings, name) for name in source.settings.overlays}
    together = [path for path in paths.values() if not path.endswith("/")]
    pulls = [(rsync.sources(source.store, together), "{}")] if together else []
    return pulls + [
        (rsync.sources(source.store, [path]), "{}/" + name)
        for name, path in paths.items()
        if path.endswith("/")
    ]


def _run(
    argv: list[str],
    source: _Source,
    *,
    show: Callable[[bytes], None] | None = None,
    names: bytes = b"",
    only_reads: bool = False,
    disk: str = "",
) -> Finished:
    """One rsync; a store that changes under our hands is asked a second time.

    only_reads: then too long an answer is the caller's to handle.
    """
    bounds = Bounds(source.settings.stall, source.until, disk)

    def once() -> Finished:
        return process.run(argv, stdin=names, bounds=bounds, on_output=show, only_reads=only_reads)

    done = once()
    if rsync.may_settle(done):
        done = once()
    if not (only_reads and done.cut and done.cut.kind == MUCH):
        rsync.check(done, source.store)
    return done


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
