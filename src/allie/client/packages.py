"""Ask the package manager whether a file is the one that it installed (RULES B2).

dpkg's lists are read as files, from any root; rpm's database by rpm itself.
"""

from __future__ import annotations

import hashlib
import os

from allie.core.system import System
from allie.machine import paths, process

_DPKG = "var/lib/dpkg/info"
_RPM = ("var/lib/rpm", "usr/lib/sysimage/rpm")


def installed(here: System, real: str) -> bool:
    """Whether what stands at a real path is, byte for byte, what a package put there."""
    path = here.at(real)
    if os.path.islink(path) or not os.path.isfile(path):
        return False
    inside = paths.Inside(here.root)
    place = inside.directory(_DPKG)
    if place.exists:
        return _by_dpkg(inside.prefix + place.real, real, path)
    if any(inside.directory(each).exists for each in _RPM) and process.has_program("rpm"):
        return _by_rpm(here.root, real, path)
    return False


def _by_dpkg(info: str, real: str, path: str) -> bool:
    """md5sums hold `digest  path`, where the path may still be the one before merged-/usr."""
    digest = _digest(path, "md5")
    spellings = [real, real[len("usr/") :]] if real.startswith("usr/") else [real]
    wanted = [f"{digest}  {each}\n".encode(errors="surrogateescape") for each in spellings]
    for name in os.listdir(info):
        if name.endswith(".md5sums"):
            with open(f"{info}/{name}", "rb") as file:
                sums = file.read()
            if any(line in sums for line in wanted):
                return True
    return False


def _by_rpm(root: str, real: str, path: str) -> bool:
    """rpm --dump: path size mtime digest mode owner …"""
    argv = ["rpm", "--root", root, "-qf", "--dump", f"/{real}"]
    for line in process.run(argv).out.decode(errors="surrogateescape").splitlines():
        fields = line.rsplit(" ", 10)
        if len(fields) == 11 and fields[0] == f"/{real}":
            kind = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}.get(len(fields[3]))
            return bool(kind) and _digest(path, kind or "") == fields[3]
    return False


def _digest(path: str, kind: str) -> str:
    state = hashlib.new(kind)
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            state.update(piece)
    return state.hexdigest()
