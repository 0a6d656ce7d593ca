"""Ask the package manager whether a file is the one that it installed (RULES B2).

dpkg's lists are read as files, from any root; rpm's database by the rpm of that root.
"""

from __future__ import annotations

import hashlib
import os

from allie.core.system import System
from allie.machine import atomic, namespaces, paths, process

_DPKG = "var/lib/dpkg/info"
_MD5 = 32  # characters
_KINDS = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}  # by the length of the digest
_RPM = ("var/lib/rpm", "usr/lib/sysimage/rpm")


def installed(here: System, real: str, path: str) -> bool:
    """Whether what stands at a real path is, byte for byte, what a package put there.

    path: the way by which it is reached.
    """
    if os.path.islink(path) or not os.path.isfile(path):
        return False
    recorded = _recorded(here, real)
    return bool(recorded) and _digest(path, recorded) == recorded


def differs(here: System, real: str, path: str) -> bool:
    """Whether the file `path` is not the one that a package has for a real path now."""
    if os.path.islink(path) or not os.path.isfile(path):
        return False
    recorded = _recorded(here, real)
    return bool(recorded) and _digest(path, recorded) != recorded


def _recorded(here: System, real: str) -> str:
    """The digest that the package manager has on record for a path; "" if it has none."""
    inside = paths.Inside(here.root)
    place = inside.directory(_DPKG)
    if place.exists:
        return _by_dpkg(inside.prefix + place.real, real)
    if any(inside.directory(each).exists for each in _RPM):
        return _by_rpm(here, real)
    return ""


def _by_dpkg(info: str, real: str) -> str:
    """md5sums hold `digest  path`, where the path may still be the one before merged-/usr."""
    spellings = [real, real[len("usr/") :]] if real.startswith("usr/") else [real]
    wanted = [f"  {each}\n".encode(errors="surrogateescape") for each in spellings]
    for name in os.listdir(info):
        if not name.endswith(".md5sums"):
            continue
        sums = atomic.read_bytes(f"{info}/{name}") or b""
        for line in wanted:
            at = sums.find(line)
            if at == _MD5 or (at > _MD5 and sums[at - _MD5 - 1] == ord("\n")):
                return sums[at - _MD5 : at].decode(errors="replace")
    return ""


def _by_rpm(here: System, real: str) -> str:
    """rpm --dump: path size mtime digest mode owner …

    Of another system its own rpm, shut in as its scripts are: `rpm --root` would load that system's
    libraries with the base's powers.
    """
    argv = ["rpm", "-qf", "--dump", f"/{real}"]
    if not here.is_base:
        out = namespaces.ask(here.root, argv)
    else:
        out = process.run(argv).out if process.has_program("rpm") else b""
    for line in out.decode(errors="surrogateescape").splitlines():
        fields = line.rsplit(" ", 10)
        if len(fields) == 11 and fields[0] == f"/{real}" and len(fields[3]) in _KINDS:
            return fields[3]
    return ""


def _digest(path: str, recorded: str) -> str:
    """The digest of a file, of the kind that the recorded one is."""
    state = hashlib.new(_KINDS[len(recorded)])
    # It may be a user's, who puts a fifo there, or keeps it from being opened (fcntl(2), leases).
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            state.update(piece)
    return state.hexdigest()
