"""Fetch: bring the store's overlays into the mirror, as the generation in force.

    ask → fetch beside → judge → put in force by one rename

What is fetched is just what the answer names, if that can be: the cost of a change follows the
change, and not the size of the overlays. A generation is in force whole or not at all, and what a
switch replaces is kept for as long as the ledger speaks of it (`incremental`). The store may be
hostile: what it takes of time, memory and disk is bounded (`process_groups.Bounds`).

docs/internals/rules.md, "A mirror may be a mixture", "A second server may lag behind" and "A ring
stays within its module".
"""

from __future__ import annotations

import os
import time

from allie.client.mirror import generation as generations
from allie.client.mirror import pull as pulls
from allie.client.mirror import questions, stores
from allie.client.mirror.generation import Generation
from allie.client.mirror.pull import Private, Pull
from allie.client.state import away_stores, records
from allie.core.change.report import Contact
from allie.core.conf.settings import PRIVATE, Settings
from allie.core.errors import NotAdmitted, StateError, StoreError, Unreachable
from allie.core.system import System
from allie.core.value import Value
from allie.machine.files import atomic, tree
from allie.machine.programs import process
from allie.machine.transfer import rsync
from allie.machine.transfer.rsync import Answer

_LAGS = 24 * 3600  # seconds for which another server may not take files away
# A fetch of all overlays, from all stores, may take so many times `stall`: half an hour. What came
# until then is linked by the next tick's fetch (`generation.prepare`), which so goes on from there.
_WHOLE = 30
_MUCH = 256 << 10  # bytes: less is fetched whole


class Fetched(Value):
    """What a fetch came to."""

    generation: Generation | None  # the one in force now
    contact: Contact


def fetch(
    here: System, settings: Settings, *, routine: bool = False, exact: bool = False
) -> Fetched:
    """Bring the store's overlays; where that cannot be, the present generation stands.

    routine: do not ask after ACLs and attributes; what is fetched brings its own in any case.
    exact: compare all by content, also what has the size and time that it had.
    Raises nothing for a store that is away or refused: the trouble is in the contact. Raises
    StateError where this PC's own disk stops us.
    """
    before = generations.current(here)
    try:
        return fetch_or_raise(here, settings, routine=routine, exact=exact)
    except StoreError as error:
        refused = not isinstance(error, Unreachable)
        words = str(error)
        if isinstance(error, NotAdmitted):
            from allie.client.mirror import identity  # noqa: PLC0415 - see HACKING.md, start-up

            words = identity.waiting(here, settings)
        contact = records.contact(here).after_trouble(words, time.time(), refused)
        records.save_contact(here, contact._replace(away=_away(here, settings)))
        after = generations.current(here)
        if after == before:  # else what is this host's own has come
            _note_names(here, ())
        return Fetched(after, contact)


def fetch_or_raise(
    here: System,
    settings: Settings,
    *,
    routine: bool = False,
    exact: bool = False,
    must: bool = False,
) -> Fetched:
    """The same; where no store can bring them it raises StoreError, and notes nothing.

    must: also where the door of this host's own does not answer, if it had one.
    """
    before, contact = generations.current(here), records.contact(here)
    private = _private(here, settings, before, routine=routine, exact=exact, must=must)
    end = time.monotonic() + settings.stall * _WHOLE
    yet = iter(range(len(settings.stores), 0, -1))

    def bring_from(store: str) -> Fetched:
        now = time.monotonic()
        until = now + max(0.0, end - now) / next(yet)  # the next ones get their share
        pull = pulls.of(here, settings, before, store, routine=routine)
        lagging = _is_lagging(store, settings, contact)
        options = pull.options + [rsync.BY_CONTENT] * exact
        overlays = settings.overlays + (PRIVATE,) * bool(private.tree)
        pull = pull._replace(lagging=lagging, options=options, until=until, overlays=overlays)
        after, names = _bring(pull, private)
        met = _met(store, settings, contact, after.number)._replace(
            away=_away(here, settings, store)
        )
        if met.is_news_after(contact):
            records.save_contact(here, met)
        _note_names(here, names)
        return Fetched(after, met)

    try:
        return stores.first_that_answers(here, settings, bring_from, anew=not routine)
    except StoreError:
        if before and private.is_new and not must:
            _take_private(here, settings, before, private)
        raise
    finally:
        if private.is_new:  # by now its files are a generation's, or of no use
            tree.remove(private.tree)


def _take_private(here: System, settings: Settings, before: Generation, private: Private) -> None:
    """Put in force what is this host's own, with what is common as it was: no store brings that."""
    from allie.client.mirror import accept  # noqa: PLC0415 - see HACKING.md, start-up

    after, _ = generations.prepare(here, before, (*before.common, PRIVATE))
    trees = {name: f"{before.path}/{name}" for name in before.common}
    for name, from_ in {**trees, PRIVATE: private.tree}.items():
        pulls.carry(here, from_, f"{after.path}/{name}")
    came = accept.look(after, before, None)
    names = accept.judge(came, settings, lagging=False)
    accept.put_in_force(here, came)
    _note_names(here, names)


def _private(here: System, settings: Settings, before: Generation | None, **how: bool) -> Private:
    """What this host's own door has for it, where there is or was one."""
    had = before is not None and PRIVATE in before.overlays
    if not (stores.own_door(here, settings, had=had) or records.own_contact(here).server):
        return Private()
    from allie.client.mirror import own_door  # noqa: PLC0415 - see HACKING.md, start-up

    return own_door.bring(here, settings, before, **how)


def _bring(pull: Pull, private: Private) -> tuple[Generation, tuple[str, ...]]:
    """Bring everything from one store: the generation then in force, and what is new in it."""
    asked = questions.ask(pull)
    if pull.before and asked and not (asked.changed or asked.gone or private.is_new):
        generations.forget_half_fetched(pull.here)
        return pull.before, ()
    from allie.client.mirror import accept  # noqa: PLC0415 - see HACKING.md, start-up

    change = accept.as_change(pull.settings, pull.before, asked)
    change = None if private.is_new else change
    after, trees = generations.prepare(pull.here, pull.before, pull.overlays)
    try:
        if change:
            _fetch_change(pull, change, after.path, trees)
        else:
            _fetch_whole(pull, after.path, trees)
            if private.tree:
                pulls.carry(pull.here, private.tree, f"{after.path}/{PRIVATE}")
        came = accept.look(after, pull.before, change)
        names = accept.judge(came, pull.settings, lagging=pull.lagging)
        return accept.put_in_force(pull.here, came), names
    except (StateError, accept.Grown):  # a full disk gets its room back at once
        generations.forget_half_fetched(pull.here)
        raise


def _fetch_whole(pull: Pull, into: str, trees: list[str]) -> None:
    """Fetch all; what did not change is linked to the same file in one of the trees.

    A ring is always fetched so: between a question and its answer it may come to mean another
    release, and half of each would be neither. The list of files comes whole, since a list for each
    directory costs this PC a fifth more.
    """
    words, show = pulls.progress(pull)
    words += ["--no-inc-recursive"]
    words += [rsync.BY_CONTENT] * bool(pull.settings.ring and trees)
    for wanted, below in questions.sources(pull):
        target = into + below
        os.makedirs(target, 0o700, exist_ok=True)
        links = [each + below for each in trees]
        argv = rsync.fetch(pull.able, pull.options + words, wanted, target, links)
        pulls.run(argv, pull, show=show, disk=pull.here.mirror)


def _fetch_change(pull: Pull, asked: Answer, into: str, trees: list[str]) -> None:
    """Fetch just what changed, with the directories that stand above it."""
    emptier = [os.path.dirname(name) for name in asked.gone]  # their time is another now
    gone = {"", *asked.gone}
    names = [name for name in dict.fromkeys([*asked.changed, *emptier]) if name not in gone]
    words, show = pulls.progress(pull)
    if len(trees) == 1 and not _is_much(pull.before, names):
        trees = []  # to look for differences costs more than it saves
    if trees:
        words += [rsync.BY_CONTENT]  # else our old file, of the same size and time, passes for it
    top = rsync.sources(pull.store, ["overlays"])[0]
    argv = rsync.fetch_some(pull.able, pull.options + words, top, into, trees)
    process.die_with_parent()
    pulls.run(argv, pull, show=show, names=rsync.names(names), disk=pull.here.mirror)


def _is_much(before: Generation | None, names: list[str]) -> bool:
    """Whether what is here of these, `overlay/path`, has so many bytes that they may be spared."""
    found = [tree.status(f"{before.path}/{name}") for name in names] if before else []
    return sum(each.st_size for each in found if each) > _MUCH


def _is_lagging(store: str, settings: Settings, contact: Contact) -> bool:
    """Whether this server stands in for the last one, which was there within a day.

    One that allie.conf names no more is not stood in for: the administrator moved the store.
    """
    stands_in = contact.server != store and contact.server in settings.stores
    return stands_in and abs(time.time() - contact.answered) < _LAGS  # abs: clocks jump


def _met(store: str, settings: Settings, contact: Contact, number: int) -> Contact:
    """How we stand with the store, now that this server has answered.

    One that has the same as the last server does not take its place: or, when that one is back,
    it would pass for one that lags behind.
    """
    now = time.time()
    stands_in = number == contact.generation and contact.server in settings.stores
    server = contact.server if stands_in else store
    if server == store:
        return Contact(server, number, now, answered=now)
    return Contact(server, number, now, answered=contact.answered, by=store)


def _away(here: System, settings: Settings, answering: str = "") -> dict[str, float]:
    """The stores that are away, but for one that just answered, and since when."""
    found = away_stores.read(here, settings.stores)
    return {store: known.since for store, known in found.items() if store != answering}


def _note_names(here: System, names: tuple[str, ...]) -> None:
    """List what this fetch brought, for scripts ($ALLIE_FETCHED); where nothing came, empty it."""
    text = "".join(f"{name}\n" for name in names)
    if text or atomic.read_note(here.fetched):
        atomic.write(here.fetched, text, durable=False)
