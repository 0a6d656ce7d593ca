"""Grounds: what a resolution follows from, and the resolution of the present generation.

It is gathered before a plan, by a tick and by the views alike, and touches nothing.
"""

from __future__ import annotations

from allie.client import generation as generations
from allie.client import identity, state
from allie.client.generation import Generation
from allie.core import settings as configuration
from allie.core import system
from allie.core.errors import SettingsError, StoreError
from allie.core.facts import Facts
from allie.core.resolution import Problem, Resolution
from allie.core.settings import Settings
from allie.core.system import System
from allie.core.value import Value


class Grounds(Value):
    """What a resolution follows from, and nothing else does."""

    generation: Generation
    settings: Settings
    facts: Facts
    own: Facts  # the ones by which allie.conf itself is chosen


class Situation(Value):
    """Everything that is known before a plan: what `why` and `plan` are views of."""

    generation: Generation
    settings: Settings
    facts: Facts
    resolution: Resolution


def settings_now(here: System, generation: Generation | None) -> Settings:
    """The settings in force; allie.conf is resolved without class tags."""
    return generations.settings_in_force(here, generation, _known(here))


def grounds(here: System) -> Grounds:
    """What there is to resolve. Raises StoreError if nothing was ever fetched."""
    generation = generations.current(here)
    if generation is None:
        trouble = state.contact(here).trouble or "no tick has fetched anything yet"
        raise StoreError(f"there are no overlays on this PC: {trouble}")
    own = _known(here)
    settings = generations.settings_in_force(here, generation, own)
    facts = identity.gather(here, settings, generation)
    return Grounds(generation, settings, facts, own)


def situation(here: System, known: Grounds | None = None) -> Situation:
    """Resolve the present generation for this system. Raises StoreError if there is none."""
    generation, settings, facts, own = known or grounds(here)
    resolution = generations.resolve(generation, facts)
    return Situation(
        generation, settings, facts, _without_unusable_settings(here, generation, resolution, own)
    )


def _known(here: System) -> Facts:
    """The facts by which allie.conf itself is chosen: the root's own host name and image."""
    try:
        own = configuration.parse(generations.own_settings(here), here.name)
        return identity.without_classes(here, own.host, own.image)
    except SettingsError:
        return identity.without_classes(here)


def _without_unusable_settings(
    here: System, generation: Generation, resolution: Resolution, own: Facts
) -> Resolution:
    """An allie.conf that this system cannot use would cut it off: it is not placed."""
    entry = resolution.entries.get(system.SETTINGS)
    text = generations.text_of(generation, system.SETTINGS, own) if entry else None
    if entry is None or text is None:
        return resolution
    try:
        configuration.parse(text, here.name)
        return resolution
    except SettingsError as error:
        entries = {path: each for path, each in resolution.entries.items() if each is not entry}
        problem = Problem(system.SETTINGS, f"{entry.source} cannot be used: {error}")
        return resolution._replace(entries=entries, problems=(*resolution.problems, problem))
