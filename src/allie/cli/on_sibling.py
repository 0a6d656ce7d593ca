"""--system NAME: do what a command does on another system of this PC, wherever it lives."""

from __future__ import annotations

import os
from types import ModuleType

from allie.cli import options
from allie.cli.options import Namespace
from allie.client.situation import other_systems, settings_in_force
from allie.core.errors import StateError


def run(module: ModuleType, args: Namespace) -> int:
    """Run a verb on the named system's root; a partition is mounted for that time."""
    base = options.system_of(args)
    declared = other_systems.find(settings_in_force.settings_of(base), args.sibling)
    with other_systems.opened(base, declared) as root:
        stands, why = other_systems.standing(declared, root)
        if stands != other_systems.THERE:
            raise StateError(f"{declared.name} is not there: {why}", "allie system list")
        os.environ["ALLIE_OFFLINE"] = "1"  # it has no siblings of its own
        args.root = root
        return int(module.run(args))
