"""Which settings are in force on this PC: which allie.conf counts, since when, and why.

The root's own allie.conf counts where no overlay has one. One that comes from the store counts once
a fetch by it has succeeded (it is *followed* then): until that, the one goes on that was followed
before, or a slip in a list of overlays would cut the PC off. Which variant of it is this PC's is
told by facts that are known without it.

    refused fetch → the store's own allie.conf ┐
    an allie.conf that came ───────────────────┴→ settle → fetch by it → followed

An administrator may take an overlay off the list and remove it, or misspell one. So a PC whose
fetch is refused looks at what allie.conf says in the store by now. Why that one is not followed
stands in the contact, and in the report, until the store is mended.
"""

from __future__ import annotations

import os
import time

from allie.client.mirror import fetch, stores
from allie.client.mirror import generation as generations
from allie.client.mirror.fetch import Fetched
from allie.client.mirror.generation import Generation
from allie.client.situation import gather_facts
from allie.client.state import records
from allie.core import system
from allie.core.conf import settings as configuration
from allie.core.conf.settings import Settings
from allie.core.errors import SettingsError, StoreError
from allie.core.facts import Facts
from allie.core.system import System
from allie.core.value import Value
from allie.machine.files import atomic, tree
from allie.machine.programs import process
from allie.machine.roots import open_system
from allie.machine.transfer import rsync

_FOLLOWED = "followed"  # in a system's state: the allie.conf from the store that is in force
_MOST_STEPS = 4  # from one allie.conf to the one that its own overlays bring


class InForce(Value):
    """The settings of a system, and what came and is not followed yet."""

    settings: Settings
    text: str  # the allie.conf that says so
    own: Facts = Facts("")  # the facts by which allie.conf itself is chosen
    coming: str = ""  # another allie.conf, by which no fetch has succeeded yet


def settings_of(here: System) -> Settings:
    """The settings in force on a system. Raises SettingsError where it has joined no store."""
    open_system.need_name(here)
    return in_force(here, generations.current(here)).settings


def text_of(here: System) -> str:
    """The allie.conf in force on a system, as text."""
    return in_force(here, generations.current(here)).text


def in_force(here: System, generation: Generation | None) -> InForce:
    """The settings in force, the generation being this. Raises SettingsError if none can be used.

    If the allie.conf that was followed has left the store, the root's own counts as one that came.
    """
    root_has = _usable(here, atomic.read(f"{here.etc}/allie.conf"))
    names = (root_has.settings.host, root_has.settings.image) if root_has else ("", "")
    own = gather_facts.without_classes(here, *names, generation)
    arrived = generations.text_of(generation, system.SETTINGS, own)
    present = _usable(here, atomic.read(f"{here.state}/{_FOLLOWED}")) or root_has
    came = (root_has if arrived is None else _usable(here, arrived)) or present
    if came is None:
        came = _parsed(here, own_text(here))  # says what is wrong with it
    if present and came.settings.fetch_key != present.settings.fetch_key:
        return present._replace(own=own, coming=came.text)
    return came._replace(own=own)


def own_text(here: System) -> str:
    """The text of the root's own allie.conf. Raises SettingsError if there is none."""
    text = atomic.read(f"{here.etc}/allie.conf")
    if text is None:
        raise SettingsError(f"{here.etc}/allie.conf is missing", open_system.how_to_join(here))
    return text


def note_followed(here: System, text: str | None) -> None:
    """Note the allie.conf from the store that is followed; None: from now on the root's own is."""
    path = f"{here.state}/{_FOLLOWED}"
    if text is None:
        atomic.remove(path)
    else:
        atomic.renew(path, text, 0o600)


def follow(here: System, settings: Settings, fetched: Fetched, *, routine: bool) -> InForce | None:
    """After a fetch by the settings in force: fetch by those that came, or that the store has.

    Raises nothing where that cannot be: why is noted, and what is in force stays. Returns what is
    in force now; None where a fetch came between, and it is to be read anew.
    """
    refused = fetched.contact.refused
    try:
        found = in_force(here, fetched.generation)
        if not (found.coming or refused):
            arrived = generations.text_of(fetched.generation, system.SETTINGS, found.own)
            if _usable(here, arrived):
                note_followed(here, arrived)
            return found
        text = _in_store(here, settings, found.own) if refused else ""
        text = text or found.coming
        if not text or _is_away(here, fetched, settings, text):
            return None
        wanted, delivered = _settled(here, text, found.own)
        must = wanted.own_key != settings.own_key
        fetch.fetch_or_raise(here, wanted, routine=routine, must=must)
        note_followed(here, delivered)
    except (SettingsError, StoreError) as error:
        contact = records.contact(here)
        if refused:
            contact = contact.after_trouble(str(error), time.time(), refused=True)
        else:
            contact = contact._replace(unfollowed=str(error))
        records.save_contact(here, contact)
    return None


def _parsed(here: System, text: str) -> InForce:
    return InForce(configuration.parse(text, here.name), text)


def _usable(here: System, text: str | None) -> InForce | None:
    """What an allie.conf says to this system; None if that cannot be used, or there is none."""
    try:
        return None if text is None else _parsed(here, text)
    except SettingsError:
        return None  # the plan refuses that file by name


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
        if text is not None and _parsed(here, text).settings.fetch_key != settings.fetch_key:
            return text
    except (SettingsError, StoreError):
        return ""  # why the fetch was refused says more
    _need_all(settings, missing)
    return ""


def _need_all(settings: Settings, missing: list[str]) -> None:
    if len(missing) == len(settings.overlays):
        words = f"{', '.join(settings.stores)} has none of the overlays that allie.conf names"
        raise StoreError(words, "is it the address of a store, and is its disk mounted?")
    if missing:
        words = f"the store has no {', '.join(missing)}"
        raise StoreError(words, "correct the list of overlays in allie.conf, or put it back")


def _settled(here: System, text: str, own: Facts) -> tuple[Settings, str | None]:
    """Settings by which a fetch brings no others, beginning with these; None as text: the PC's own.

    Raises StoreError where there are none, and the overlays would come and go with every tick.
    """
    known: list[tuple[object, ...]] = []
    while True:
        wanted = configuration.parse(text, here.name)
        if wanted.fetch_key in known or len(known) == _MOST_STEPS:
            words = "its overlays bring an allie.conf that leads back to other overlays or stores"
            raise StoreError(words, "let all of them say the same")
        known.append(wanted.fetch_key)
        found, missing = _peek(here, wanted, own)
        _need_all(wanted, missing)
        if found is None:
            if text != own_text(here):
                words = "none of the overlays that it names has an allie.conf"
                raise StoreError(words, "name the overlay, too, that it stands in")
            return wanted, None
        if configuration.parse(found, here.name).fetch_key == wanted.fetch_key:
            return wanted, found
        text = found


def _peek(here: System, settings: Settings, own: Facts) -> tuple[str | None, list[str]]:
    """The allie.conf of the store for this PC, and what the store does not have of its overlays."""
    return stores.first_that_answers(
        here, settings, lambda store: _look_into(here, store, settings, own)
    )


def _look_into(
    here: System, store: str, settings: Settings, own: Facts
) -> tuple[str | None, list[str]]:
    into = f"{here.state}/settings.part"  # after a kill, recover removes it
    reach = stores.reach(here, settings, store)
    missing: dict[str, str] = {}
    try:
        tree.remove(into)
        for name in settings.overlays:
            os.makedirs(f"{into}/{name}", 0o700)
            path = stores.overlay_path(settings, name).rstrip("/")
            wanted = rsync.sources(store, [f"{path}/"])
            argv = _near(reach, wanted, f"{into}/{name}", system.SETTINGS)
            done = process.run(argv, bounds=stores.bounds(settings.stall, here.state))
            if done.code == rsync.PARTIAL and not os.listdir(f"{into}/{name}"):
                missing[name] = path
            elif done.code != rsync.PARTIAL:  # what could not be read, the fetch itself will tell
                rsync.check(done, store)
        names = tuple(name for name in settings.overlays if name not in missing)
        came = Generation(0, into, names)
        own = own if own.virt else own._replace(virt=gather_facts.virt(came))
        text = generations.text_of(came, system.SETTINGS, own)
        return text, [*missing.values()]
    finally:
        tree.remove(into)


def _near(reach: list[str], wanted: list[str], into: str, path: str) -> list[str]:
    """Fetch from a tree only what can be a variant of one path, or of a directory above it."""
    rules, above = [], "/"
    for name in path.split("/")[:-1]:
        above += f"{name}*/"
        rules.append(f"--include={above}")
    rules += [f"--include={above}{path.rpartition('/')[2]}*", "--exclude=*"]
    return ["rsync", "-rl", *reach, *rules, "--", *wanted, f"{into}/"]
