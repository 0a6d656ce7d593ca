"""Coming: settings that the store has for this PC count once a fetch by them has succeeded.

    refused fetch → the store's own allie.conf ┐
    an allie.conf that came ───────────────────┴→ settle → fetch by it → followed

An administrator may take an overlay off the list and remove it, or misspell one. So a PC whose
fetch is refused looks at what allie.conf says in the store by now; and whatever came is tried
first, while the settings that were followed before stay in force. Why it is not followed stands in
the contact, and in the report, until the store is mended. Nearly every tick has nothing of the
kind, and does not load this (`client.tick.part`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress

from allie.client.mirror import fetch
from allie.client.mirror import generation as generations
from allie.client.mirror.fetch import Fetched
from allie.client.mirror.generation import Generation
from allie.client.situation import grounds
from allie.client.state import records
from allie.core import system
from allie.core.change.resolution import CONSENT
from allie.core.conf import settings as configuration
from allie.core.conf.settings import Settings
from allie.core.errors import SettingsError, StoreError, Unreachable
from allie.core.names.facts import Facts
from allie.core.system import System
from allie.machine.files import tree
from allie.machine.programs import process
from allie.machine.programs.process_groups import Bounds
from allie.machine.transfer import rsync

_PATIENCE = 5  # times `stall`: for a few small files
_MOST_STEPS = 4  # from one allie.conf to the one that its own overlays bring


def follow(here: System, settings: Settings, fetched: Fetched, *, routine: bool) -> None:
    """Fetch by the settings that came, or that the store has, after a fetch by those in force.

    Raises nothing where that cannot be: why is noted, and what is in force stays.
    """
    own = grounds.own_facts(here)
    refused = fetched.contact.refused
    try:
        text = _in_store(here, settings, own) if refused else ""
        text = text or generations.in_force(here, generations.current(here), own).coming
        if not text or _is_away(here, fetched, settings, text):
            return
        wanted, delivered = _settled(here, text, own)
        fetch.fetch(here, wanted, routine=routine, trial=True)
        generations.note_followed(here, delivered)
    except (SettingsError, StoreError) as error:
        contact = records.contact(here)
        if refused:
            contact = contact.after_trouble(str(error), time.time(), refused=True)
        else:
            contact = contact._replace(unfollowed=str(error))
        records.save_contact(here, contact)


def consents(settings: Settings, names: Iterable[str]) -> frozenset[str]:
    """Which of some overlays, that are not on the list, the store says may be withdrawn."""
    return frozenset(name for name in names if _has_consent(settings, name))


def _has_consent(settings: Settings, overlay: str) -> bool:
    for store in fetch.in_own_order(settings):
        argv = rsync.list_only(store, f"overlays/{overlay}/{CONSENT}", settings.stall)
        asked = process.run(argv, bounds=_bounds(settings, ""))
        if asked.code in (0, rsync.PARTIAL):
            return asked.code == 0
    return False


def _is_away(here: System, fetched: Fetched, settings: Settings, text: str) -> bool:
    """Whether it is known already that none of the stores that it names answers."""
    wanted = configuration.parse(text, here.name)
    away = fetched.contact.trouble and not fetched.contact.refused
    return bool(away) and set(wanted.stores) <= set(settings.stores)


def _in_store(here: System, settings: Settings, own: Facts) -> str:
    """The allie.conf of the store, if it asks for something else than what was refused.

    Raises StoreError, which says more than rsync does, where it still names what is not there.
    """
    try:
        text, missing = _peek(here, settings, own)
        if (
            text is not None
            and configuration.parse(text, here.name).fetch_key != settings.fetch_key
        ):
            return text
    except (SettingsError, StoreError):
        return ""  # why the fetch was refused says more
    _need_all(settings, missing)
    return ""


def _need_all(settings: Settings, missing: list[str]) -> None:
    if len(missing) == len(settings.overlays):
        raise StoreError(
            f"{', '.join(settings.stores)} has none of the overlays that allie.conf names",
            "is it the address of a store, and is its disk mounted?",
        )
    if missing:
        raise StoreError(
            f"the store has no {', '.join(missing)}",
            "correct the list of overlays in allie.conf, or put it back",
        )


def _settled(here: System, text: str, own: Facts) -> tuple[Settings, str | None]:
    """Settings by which a fetch brings no others, beginning with these; None as text: the PC's own.

    Raises StoreError where there are none, and the overlays would come and go with every tick.
    """
    known: list[tuple[object, ...]] = []
    while True:
        wanted = configuration.parse(text, here.name)
        if wanted.fetch_key in known or len(known) == _MOST_STEPS:
            raise StoreError(
                "its overlays bring an allie.conf that leads back to other overlays or stores",
                "let all of them say the same",
            )
        known.append(wanted.fetch_key)
        found, missing = _peek(here, wanted, own)
        _need_all(wanted, missing)
        if found is None:
            if text != generations.own_settings(here):
                raise StoreError(
                    "none of the overlays that it names has an allie.conf",
                    "name the overlay, too, that it stands in",
                )
            return wanted, None
        if configuration.parse(found, here.name).fetch_key == wanted.fetch_key:
            return wanted, found
        text = found


def _peek(here: System, settings: Settings, own: Facts) -> tuple[str | None, list[str]]:
    """The allie.conf of the store for this PC, and what the store does not have of its overlays."""
    *others, last = fetch.in_own_order(settings)
    for store in others:
        with suppress(Unreachable):
            return _look_into(here, store, settings, own)
    return _look_into(here, last, settings, own)


def _look_into(
    here: System, store: str, settings: Settings, own: Facts
) -> tuple[str | None, list[str]]:
    into = f"{here.state}/settings.part"  # a killed one goes as all that is half written there
    reach = rsync.transport(store, settings.stall)
    missing: dict[str, str] = {}
    try:
        tree.remove(into)
        for name in settings.overlays:
            os.makedirs(f"{into}/{name}", 0o700)
            path = fetch.overlay_path(settings, name).rstrip("/")
            wanted = rsync.sources(store, [f"{path}/"])
            argv = rsync.fetch_near(reach, wanted, f"{into}/{name}", system.SETTINGS)
            done = process.run(argv, bounds=_bounds(settings, here.state))
            if done.code == rsync.PARTIAL and not os.listdir(f"{into}/{name}"):
                missing[name] = path
            elif done.code != rsync.PARTIAL:  # what could not be read, the fetch itself will tell
                rsync.check(done, store)
        names = tuple(name for name in settings.overlays if name not in missing)
        return generations.text_of(Generation(0, into, names), system.SETTINGS, own), [
            *missing.values()
        ]
    finally:
        tree.remove(into)


def _bounds(settings: Settings, disk: str) -> Bounds:
    return Bounds(settings.stall, time.monotonic() + settings.stall * _PATIENCE, disk)
