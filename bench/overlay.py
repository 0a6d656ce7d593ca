"""The overlay that every peer is given: made from a number, so each run has the same one.

Of N files one in 25 is a variant (two for each name that has any), up to 20 are conf scripts, one
is etc/allie/classes and the rest are plain. Two trees are written from it: the *raw* one with the
tags in its names, for those that know tags, and the *resolved* one for the peers that do not, which
spares them that work. It never looks at a PC: root.py does.
"""

from __future__ import annotations

import os
import random
import shutil
import time
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

HOST = "pc07"
CLASSES = "lab: pc[01-40]\nsrv: srv01 srv02\n"
OLD = 1704067200  # every file's first mtime: 2024-01-01
EDITS = 5
MARKS = "var/bench"  # where each conf script leaves a line, under the root


@dataclass(frozen=True)
class File:
    path: str
    mode: int
    content: bytes
    kind: str = "plain"  # plain, variant, script
    active: str | None = None  # its path on HOST; None if it loses there


Tree = dict[str, File]

_PLACES = (
    "etc/{0:03}.d/{1:03}",
    "opt/{0:03}/share/{1:03}",
    "usr/local/{0:03}/{1:03}",
    "srv/{1:03}",
)


def make(files: int) -> Tree:
    rng = random.Random(files)
    variants = _variants(max(1, files // 50), rng)
    scripts = [_script(number) for number in range(min(20, max(2, files // 25)))]
    classes = File("etc/allie/classes", 0o644, CLASSES.encode(), active="etc/allie/classes")
    fixed = [*variants, *scripts, classes]
    plain = [_plain(number, files, rng) for number in range(files - len(fixed))]
    return {file.path: file for file in [*fixed, *plain]}


def _content(rng: random.Random) -> bytes:
    size = min(60000, max(100, int(rng.lognormvariate(8.2, 1.0))))
    return (rng.randbytes(size // 2).hex() + "\n").encode()


def _plain(number: int, files: int, rng: random.Random) -> File:
    directory = number % max(4, files // 25)
    place = _PLACES[directory % len(_PLACES)].format(directory // 10, directory)
    path = f"{place}/file{number:05}.conf"
    mode = 0o600 if number % 20 == 0 else 0o755 if number % 11 == 0 else 0o644
    return File(path, mode, _content(rng), active=path)


def _variants(names: int, rng: random.Random) -> list[File]:
    """A default and two variants for each name; in turn the host's wins, the class's, the first."""
    found = []
    for number in range(names):
        path = f"etc/variant/name{number:03}.conf"
        tags = (("host.pc07", "class.lab"), ("host.pc08", "class.lab"), ("host.pc08", "class.srv"))
        winner = (f"{path}##host.pc07", f"{path}##class.lab", path)[number % 3]
        for name in (path, *(f"{path}##{tag}" for tag in tags[number % 3])):
            active = path if name == winner else None
            found.append(File(name, 0o644, _content(rng), "variant", active))
    return found


def _script(number: int) -> File:
    name = f"{50 + number}step"
    text = f"#!/bin/sh\nmkdir -p /{MARKS} && echo run >>/{MARKS}/{name}\n"
    return File(f"root/conf/{name}", 0o755, text.encode(), "script", f"root/conf/{name}")


def resolved(tree: Tree) -> Tree:
    """What HOST must have in its root."""
    winners = [file for file in tree.values() if file.active is not None]
    return {
        file.active: replace(file, path=file.active) for file in winners if file.active is not None
    }


def edited(tree: Tree, salt: int) -> Tree:
    """The tree after an administrator changed EDITS files in it, one of them an active variant."""
    rng = random.Random(f"edit {salt}")
    paths = rng.sample(plain_paths(tree), EDITS - 1)
    paths.append(next(f.path for f in tree.values() if f.kind == "variant" and f.active))
    return {**tree, **{path: replace(tree[path], content=_content(rng)) for path in paths}}


def plain_paths(tree: Tree) -> list[str]:
    return sorted(file.path for file in tree.values() if file.kind == "plain")


def write(tree: Tree, top: Path, before: Tree | None = None) -> None:
    """Write the tree below top; with before, only what differs, and with the time of now."""
    for path, file in tree.items():
        if before is not None and before.get(path) == file:
            continue
        target = top / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
        target.chmod(file.mode)
        if before is None:
            os.utime(target, (OLD, OLD))


def size(tree: Tree) -> int:
    return sum(len(file.content) for file in tree.values())


def touch_archive(archive: Path) -> None:
    """The same zip archive in other bytes, as a new version would be, by one rename."""
    beside = archive.with_name(f"{archive.name}.new")
    shutil.copy2(archive, beside)
    with zipfile.ZipFile(beside, "a") as changed:
        changed.comment = str(time.time_ns()).encode()
    os.utime(beside)
    beside.rename(archive)
