"""Make scripts due again *before* the change that they wait for is made (RULES A3, B16).

So no crash can lose it: a script that runs once too often is harmless, one that never runs is not.
"""

from __future__ import annotations

import os

from allie.client import scripts
from allie.core import script, tags
from allie.core.errors import StateError
from allie.core.intent import Step
from allie.core.script import Headers
from allie.core.system import System
from allie.machine import atomic


def before(here: System, steps: tuple[Step, ...]) -> None:
    """Remove the done-files of scripts that change, or whose `on-change` paths do; durable."""
    changing = [step for step in steps if step.before != step.wanted]
    if not changing or not os.path.isdir(here.done):
        return
    names = _placed_scripts(here, changing) | _waiting_for(here, changing)
    removed = [name for name in sorted(names) if atomic.remove(f"{here.done}/{name}")]
    if removed:
        atomic.sync_directory(here.done)


def _placed_scripts(here: System, steps: list[Step]) -> set[str]:
    """Conf scripts among the paths: new content or mode means due again."""
    found = set()
    top = "/" if here.root == "/" else f"{here.root}/"
    for step in steps:
        directory, _, name = step.real.rpartition("/")
        if top + directory == here.conf and script.is_name(name):
            found.add(name)
    return found


def _waiting_for(here: System, steps: list[Step]) -> set[str]:
    """Conf scripts with an `on-change` header that one of the paths fits, by either spelling."""
    spelled = {f"/{step.real}" for step in steps}
    for step in steps:
        for placed in (step.old, step.after):
            if placed:
                spelled.add(f"/{tags.unspell(placed.spelling)[0]}")
    paths = tuple(sorted(spelled))
    return {name for name in os.listdir(here.done) if script.wants(_headers(here, name), paths)}


def _headers(here: System, name: str) -> Headers:
    """What a conf script says of itself, wherever a link of its name leads."""
    try:
        found = scripts.read(here, name) if script.is_name(name) else None
    except StateError:
        found = None  # its own tick says that it cannot be read
    return script.parse_headers(found.content) if found else Headers()
