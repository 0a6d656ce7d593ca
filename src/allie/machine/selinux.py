"""Give placed files the label that this root's own policy has for them (RULES B3)."""

from __future__ import annotations

import os

from allie.core.system import System
from allie.machine import process

_ENFORCED = "/sys/fs/selinux/enforce"
_CONTEXTS = "etc/selinux/targeted/contexts/files/file_contexts"


def relabel(here: System, reals: list[str]) -> None:
    """restorecon (or, for another root, setfiles) on these paths, where SELinux is in use."""
    paths = b"".join(os.fsencode(here.at(real)) + b"\n" for real in reals if "\n" not in real)
    if here.is_base:
        if os.path.exists(_ENFORCED) and process.has_program("restorecon"):
            process.run(["restorecon", "-i", "-f", "-"], stdin=paths)
    elif os.path.exists(here.at(_CONTEXTS)) and process.has_program("setfiles"):
        process.run(["setfiles", "-r", here.root, "-f", "-", here.at(_CONTEXTS)], stdin=paths)
