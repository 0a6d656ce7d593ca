"""The own door: what the store has for this host alone, its *private* overlay.

    ask → fetch beside → judge ─┐
    common overlays ────────────┴→ the generation to come      (client.mirror.fetch)

It is fetched by a call of its own: from an ssh door, which tells hosts apart by their keys, or from
a store that is a directory here. Whatever goes wrong, the present private tree is carried into the
next generation, and why stands in a contact of its own: secrets do not go because a server, a key
or a cable does. Only one that says so itself is emptied (`accept.judge_private`).

docs/internals/rules.md, "Two doors, one generation".
"""

from __future__ import annotations

import os
import time

from allie.client.mirror import identity, stores
from allie.client.mirror import pull as pulls
from allie.client.mirror.generation import PRIVATE_NEW, Generation
from allie.client.mirror.pull import Private, Pull
from allie.client.state import records
from allie.core.change.report import Contact
from allie.core.conf import addresses
from allie.core.conf.settings import PRIVATE, Settings
from allie.core.errors import NotAdmitted, StateError, StoreError, Unreachable
from allie.core.system import System
from allie.machine.files import tree
from allie.machine.transfer import rsync

_WHOLE = 10  # times `stall`: what a fetch of it may take


def bring(
    here: System,
    settings: Settings,
    before: Generation | None,
    *,
    routine: bool,
    exact: bool = False,
    must: bool = False,
) -> Private:
    """Ask for the private tree, and fetch what is new; trouble is noted, and the present one kept.

    must: raise StoreError instead where there is one, for settings that came from the store may be
    wrong about its door.
    """
    had = f"{before.path}/{PRIVATE}" if before and PRIVATE in before.overlays else ""
    door = stores.own_door(here, settings, had=bool(had))
    known = records.own_contact(here)
    if not door:
        if known != Contact():
            records.save_own_contact(here, Contact())
        return Private()
    known = known._replace(server=door)
    found = Private(had)
    try:
        pull = _pull(here, settings, before, door, routine=routine, exact=exact)
        if not had or _differs(pull, had):
            _fetch(pull, before, had)
            found = Private(f"{here.mirror}/{PRIVATE_NEW}", True)
        _note(here, Contact(door, good=time.time()))
    except (StoreError, StateError) as error:
        tree.remove(f"{here.mirror}/{PRIVATE_NEW}")
        if must and had:
            raise StoreError(f"own: {error.message}", error.hint) from error
        _note(here, _after_trouble(here, settings, known, error, kept=bool(had)))
    return found


def questions(here: System, settings: Settings, before: Generation) -> list[list[str]]:
    """What a routine tick asks it; as `questions.routine` has it."""
    had = PRIVATE in before.overlays
    door = stores.own_door(here, settings, had=had)
    if not door or not had:
        return []
    pull = _pull(here, settings, before, door, routine=True, exact=False)
    return [_question(pull, f"{before.path}/{PRIVATE}")]


def _pull(
    here: System,
    settings: Settings,
    before: Generation | None,
    door: str,
    *,
    routine: bool,
    exact: bool,
) -> Pull:
    found = pulls.of(here, settings, before, door, routine=routine)
    until = time.monotonic() + settings.stall * _WHOLE
    return found._replace(options=found.options + [rsync.BY_CONTENT] * exact, until=until)


def _source(pull: Pull) -> list[str]:
    host = "" if addresses.is_door(pull.store) else stores.place_of(pull.here, pull.settings)
    return rsync.sources(pull.store, [f"{PRIVATE}/{host}/" if host else f"{PRIVATE}/"])


def _question(pull: Pull, had: str) -> list[str]:
    return rsync.ask(pull.asks_for, pull.options, _source(pull), had)


def _differs(pull: Pull, had: str) -> bool:
    done = pulls.run(_question(pull, had), pull, only_reads=True)
    answer = rsync.parse_answer(done.out)
    return bool(answer.changed or answer.gone or done.cut)


def _fetch(pull: Pull, before: Generation | None, had: str) -> None:
    """Fetch all of it, which is little; what did not change is linked."""
    from allie.client.mirror import accept  # noqa: PLC0415 - see HACKING.md, start-up

    here, new = pull.here, f"{pull.here.mirror}/{PRIVATE_NEW}"
    tree.remove(new)
    os.makedirs(here.mirror, 0o700, exist_ok=True)
    os.mkdir(new, 0o700)
    words, show = pulls.progress(pull)
    argv = rsync.fetch(pull.able, pull.options + words, _source(pull), new, [had] if had else [])
    pulls.run(argv, pull, show=show, disk=here.mirror)
    host = stores.place_of(here, pull.settings) or "HOST"
    accept.judge_private(before, here.mirror, new, host)


def _after_trouble(
    here: System, settings: Settings, known: Contact, error: Exception, *, kept: bool
) -> Contact:
    """How we stand with it now. One that was never there is waited for, and is no failure."""
    words, refused = str(error), not isinstance(error, Unreachable)
    if isinstance(error, NotAdmitted):
        words = f"{identity.waiting(here, settings)}{'; what it brought stays' if kept else ''}"
        refused = kept
    return known.after_trouble(words, time.time(), refused)


def _note(here: System, contact: Contact) -> None:
    if contact.is_news_after(records.own_contact(here)):
        records.save_own_contact(here, contact)
