"""What a tick decides by (generation, settings, facts), and what the overlays say by that.

It is gathered before a plan, by a tick and by `why` and `plan` alike, and changes nothing.
"""

from __future__ import annotations

from allie.client.mirror import generation as generations
from allie.client.mirror.generation import Generation
from allie.client.situation import gather_facts, settings_in_force
from allie.client.situation.settings_in_force import InForce
from allie.client.state import records
from allie.core import facts, system
from allie.core.change.resolution import Entry, Problem, Resolution
from allie.core.conf import settings as configuration
from allie.core.conf.settings import Settings
from allie.core.errors import SettingsError, StoreError, UsageError
from allie.core.facts import Facts
from allie.core.system import System
from allie.core.value import Value


class Grounds(Value):
    """All that a resolution depends on."""

    generation: Generation
    settings: Settings
    facts: Facts
    own: Facts  # the ones by which allie.conf itself is chosen
    coming: str = ""  # an allie.conf that came, and by which no fetch has succeeded yet


class Resolved(Value):
    """What the overlays say about this system, and by what: `why` and `plan` are views of it."""

    generation: Generation
    settings: Settings
    facts: Facts
    resolution: Resolution


def gather(here: System, found: InForce | None = None) -> Grounds:
    """What there is to resolve. Raises StoreError if nothing was ever fetched.

    found: the settings in force, where they are known already.
    """
    generation = generations.current(here)
    if generation is None:
        trouble = records.contact(here).trouble or "no tick has fetched anything yet"
        raise StoreError(f"there are no overlays on this PC: {trouble}")
    found = found or settings_in_force.in_force(here, generation)
    all_facts = gather_facts.gather(here, found.settings, generation, found.own)
    return Grounds(generation, found.settings, all_facts, found.own, found.coming)


def resolve(here: System, known: Grounds | None = None) -> Resolved:
    """Resolve the present generation for this system. Raises StoreError if there is none."""
    known = known or gather(here)
    resolution = generations.resolve(known.generation, known.facts)
    usable = _without_unusable(here, known, resolution)
    return Resolved(known.generation, known.settings, known.facts, usable)


def delivered(here: System) -> str:
    """The overlay file that allie.conf comes from; "" if it was written by join alone."""
    if generations.current(here) is None:
        return ""
    entry = resolve(here).resolution.entries.get("etc/allie/allie.conf")
    return entry.source if entry else ""


def must_change_in_store(source: str) -> UsageError:
    """What is said where such an allie.conf was to be changed: the next tick would undo that."""
    hint = f"change it in the store: {source}; then, after a tick, again"
    return UsageError("allie.conf comes from an overlay", hint)


def _without_unusable(here: System, known: Grounds, resolution: Resolution) -> Resolution:
    """Settings that this system cannot use, or not yet, would cut it off: they are not placed.

    Nor is anything else in their place: a directory, a symlink, or the absence of allie.conf.
    """
    for path, why_not in ((system.SETTINGS, _why_no_settings), (system.CLASSES, _why_no_classes)):
        entry = resolution.entries.get(path)
        why = why_not(here, known, entry)
        if not why:
            continue
        below = path + "/"
        entries = {
            name: each
            for name, each in resolution.entries.items()
            if each is not entry and not name.startswith(below)
        }
        problems = (*resolution.problems, Problem(path, why))
        resolution = resolution._replace(entries=entries, problems=problems)
    return resolution


def _why_no_settings(here: System, known: Grounds, entry: Entry | None) -> str:
    """Why the allie.conf that came is not placed; "" if it is, or there is none."""
    if known.coming:
        source = entry.source if entry else f"{here.etc}/allie.conf"
        words = records.contact(here).unfollowed or "no fetch by it has succeeded"
        return f"{source} is not followed, the settings of before are: {words}"
    if entry is None:
        return ""
    chosen = generations.entry_of(known.generation, system.SETTINGS, known.own)
    if chosen is None or chosen.source != entry.source:
        return f"{entry.source} cannot be used: it is read before classes, so it can have no class"
    text = generations.content_of(known.generation, chosen)
    if text is None:
        return f"{entry.source} cannot be used: it is no regular file"
    try:
        configuration.parse(text, here.name)
        return ""
    except SettingsError as error:
        return f"{entry.source} cannot be used: {error}"


def _why_no_classes(_: System, known: Grounds, entry: Entry | None) -> str:
    """Why the classes that came are not placed; "" if they are, or there are none."""
    if entry is None or entry.flag == "absent":
        return ""
    text = generations.text_of(known.generation, system.CLASSES, known.own)
    if text is None:
        return f"{entry.source} cannot be used: it is no regular file"
    try:
        facts.parse_classes(text)
        return ""
    except SettingsError as error:
        return f"{entry.source} cannot be used, the classes of before are: {error}"
