"""The SELinux labels that this root's own policy has for what is placed.

They are asked for by name (matchpathcon(8), which looks at no file where it is told the kind), and
given where a thing is made, before it comes to its place: restorecon(8) would go there by a path
that a user may have changed.
"""

from __future__ import annotations

import os
from _collections_abc import Mapping

from allie.core.lean import suppress
from allie.core.system import System
from allie.machine.programs import process

_ENFORCED = "/sys/fs/selinux/enforce"
_CONTEXTS = "etc/selinux/targeted/contexts/files/file_contexts"
_ATTRIBUTE = "security.selinux"
_NONE = b"<<none>>"
_AT_ONCE = 200  # paths, of one call
# By the first letter of a content digest (`core.change.ledger`)
_KINDS = {"f": "file", "d": "dir", "l": "lnk_file", "p": "pipe", "c": "chr_file", "b": "blk_file"}


def labels(here: System, contents: Mapping[str, str]) -> dict[str, bytes]:
    """The label of each real path, by what is to come there (a content digest).

    Nothing where SELinux is not in use, and for what the policy leaves alone.
    """
    contexts = here.at(_CONTEXTS)
    if not os.path.exists(_ENFORCED if here.is_base else contexts):
        return {}
    if not contents or not process.has_program("matchpathcon"):
        return {}
    policy = [] if here.is_base else ["-f", contexts]
    found: dict[str, bytes] = {}
    for letter, kind in _KINDS.items():
        reals = [real for real, content in contents.items() if content[:1] == letter]
        for first in range(0, len(reals), _AT_ONCE):
            found.update(_ask(policy, kind, reals[first : first + _AT_ONCE]))
    return found


def label(path: str, value: bytes) -> None:
    """Give a label to what has just been made; a file system may have none."""
    with suppress(OSError):
        os.setxattr(path, _ATTRIBUTE, value, follow_symlinks=False)


def _ask(policy: list[str], kind: str, reals: list[str]) -> dict[str, bytes]:
    argv = ["matchpathcon", "-n", "-m", kind, *policy, *(f"/{real}" for real in reals)]
    lines = process.run(argv).out.splitlines()
    if len(lines) != len(reals):
        return {}
    return {real: line + b"\0" for real, line in zip(reals, lines) if line and line != _NONE}
