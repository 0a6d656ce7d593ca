"""Paths that an overlay must not hold; asked at the plan and by `overlay lint`.

docs/internals/rules.md, "Paths that no overlay may hold".
"""

from __future__ import annotations

from allie.core import stubs, system

_TREES = (system.STATE, system.CODE[1:], system.DONE, "proc", "sys", "dev", "run")
# Files of the kit without which nothing is ever fetched again.
NEEDED = (system.ARCHIVE, f"{system.CONF}/run-conf", f"{system.CONF}/{stubs.FETCHER}")
# What ALLiE itself needs: no overlay can have one of these, or a directory above one, made absent.
VITAL = ("etc/allie", system.CONF, "root/util", system.DONE, system.STATE, *NEEDED)
NOT_ABSENT = "holds what ALLiE itself needs; it cannot be made absent"  # what is said of these
_BELOW = tuple(f"{tree}/" for tree in _TREES)
_LONGEST = 255  # bytes; no file system takes more
_WIDEST = 4  # bytes of a letter in UTF-8
_LONGEST_SCRIPT = 240  # the names of its log and its done-file are made longer


def refusal(path: str) -> str:
    """Why an overlay must not hold this path (no leading slash, tags taken off), or ""."""
    if path.startswith(_BELOW) or (path in _TREES and path != system.STATE):
        tree = next(each for each in _TREES if f"{path}/".startswith(f"{each}/"))
        return f"/{tree} is not for overlays"
    if path == system.NAME or path.startswith(system.NAME + "/"):
        return f"/{system.NAME} says what this root is, and is written by join alone"
    names = path.split("/")
    if ".." in names or "." in names:
        return "a path with . or .. in it"
    if len(path) * _WIDEST <= _LONGEST_SCRIPT:
        return ""
    most = _LONGEST_SCRIPT if names[:-1] == system.CONF.split("/") else _LONGEST
    if any(len(name.encode(errors="surrogateescape")) > most for name in names):
        return f"a name longer than {most} bytes"
    return ""


# These, and the directories above them
PLACES = {"/".join(each.split("/")[:n]) for each in VITAL for n in range(1, each.count("/") + 2)}


def wrong_kind(path: str, is_dir: bool) -> str:
    """Why a path that ALLiE needs cannot be of this kind, or ""."""
    is_file = path in NEEDED
    kind = "file" if is_file else "directory"
    wrong = path in PLACES and is_dir == is_file
    return f"is a {kind} that ALLiE itself needs, and can be nothing else" if wrong else ""


def is_vital(path: str) -> bool:
    """Whether the path is, or holds, something that ALLiE cannot work without."""
    return path in PLACES
