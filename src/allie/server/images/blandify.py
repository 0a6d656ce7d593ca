"""Take out of an image what is one machine's own: carry out the table of `core.image.machine_own`.

The image's next version is made of hard links to the present one, so a file is replaced, never
written into. Every path is resolved inside the image and reached by `machine.roots.within`: no link
of the image leads to the server's own files.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from fnmatch import fnmatchcase

from allie.core.errors import PathRefused
from allie.core.image import machine_own
from allie.core.image.machine_own import Rule
from allie.core.image.rewrites import Own
from allie.core.value import Value
from allie.machine.roots import paths, within
from allie.machine.roots.paths import Inside

_COMMON = ("localhost", "debian", "ubuntu", "fedora", "linux", "host")
# Where systems have their host's name: most of today; SUSE before systemd; EL6; OpenRC
_HOST_NAMES = (
    ("etc/hostname", r"^[ \t]*([^#\s]\S*)"),
    ("etc/HOSTNAME", r"^[ \t]*([^#\s]\S*)"),
    ("etc/sysconfig/network", r"^[ \t]*HOSTNAME[ \t]*=[ \t]*[\"']?([\w.-]+)"),
    ("etc/conf.d/hostname", r"^[ \t]*hostname[ \t]*=[ \t]*[\"']?([\w.-]+)"),
)
_MADE = "made empty"
_LARGEST = 64 << 20  # bytes of a file that is read: lists of hosts that are to be blocked are long


class OwnPath(Value):
    """A path that is one machine's own."""

    path: str
    why: str
    what: str  # that is to be done


def own_of(top: str, image: str) -> Own:
    """What rewriting needs to know of a system."""
    for path, pattern in _HOST_NAMES:
        found = re.search(pattern, within.text(top, path) or "", re.MULTILINE)
        if found and found[1].partition(".")[0].lower() != "localhost":
            return Own(image, found[1])
    return Own(image)


def apply(top: str, own: Own) -> list[OwnPath]:
    """Do it, in a tree that nobody else uses; what was done."""
    return [each for rule in machine_own.RULES for each in _over(rule, top, own, do=True)]


def check(top: str, own: Own) -> list[OwnPath]:
    """What still stands; changes nothing."""
    return [each for rule in machine_own.RULES for each in _over(rule, top, own, do=False)]


def machine_id(top: str) -> str:
    """The id of the machine that a system was; "" where it has none."""
    text = (within.text(top, "etc/machine-id") or "").strip()
    return text if re.fullmatch("[0-9a-f]{32}", text) else ""


def mentions(top: str, words: tuple[str, ...]) -> list[str]:
    """The files below the image's /etc that still name the golden machine: for a person."""
    words = (*words, *(word.partition(".")[0] for word in words))
    wanted = [word for word in dict.fromkeys(words) if len(word) > 3 and word not in _COMMON]
    pattern = re.compile("|".join(rf"\b{re.escape(word)}\b" for word in wanted))
    try:
        etc = Inside(top).directory("etc").real
    except PathRefused:
        return []
    found = [f"{etc}/{path}" for path, is_dir in within.listing(top, etc) if not is_dir]
    return sorted(path for path in found if wanted and pattern.search(_plain(top, path)))


def _plain(top: str, real: str) -> str:
    """The text of a file that is no link; "" of what is none, or is large."""
    is_file = stat.S_ISREG(paths.status(top, real).st_mode)
    return (within.text(top, real, _LARGEST) or "") if is_file else ""


def _over(rule: Rule, top: str, own: Own, *, do: bool) -> Iterator[OwnPath]:
    """Find, and do, what one rule says."""
    places = _matches(top, rule)
    if rule.action == machine_own.EMPTY and not places:
        yield from _made(rule, top, do=do)
    for path in places:
        for each, what, body in _wanted(rule, top, path, own):
            if do and body is None:
                within.remove(top, each)
            elif do and body is not None:
                within.write(top, each, body, 0o644 if what == _MADE else None)
            yield OwnPath(each, rule.why, what)


def _made(rule: Rule, top: str, *, do: bool) -> Iterator[OwnPath]:
    """A file that is to be there, and is not; where the image has the directory."""
    above, _, name = rule.globs.rpartition("/")
    try:
        place = Inside(top).directory(above)
    except PathRefused:
        return  # a link that leads nowhere in here
    if place.exists:
        if do:
            within.write(top, f"{place.real}/{name}", b"")
        yield OwnPath(f"{place.real}/{name}", rule.why, _MADE)


def _wanted(rule: Rule, top: str, path: str, own: Own) -> Iterator[tuple[str, str, bytes | None]]:
    """What a rule says of one path: (path, in words, the new content or None: it goes)."""
    st = paths.status(top, path)
    is_file = stat.S_ISREG(st.st_mode)
    if rule.action == machine_own.REMOVE or (rule.action == machine_own.FILE and is_file):
        yield path, "removed", None
    elif rule.action == machine_own.EMPTY and is_file and st.st_size:
        yield path, "emptied", b""
    elif rule.action == machine_own.EMPTY and stat.S_ISLNK(st.st_mode):
        yield path, _MADE, b""
    elif rule.action in (machine_own.CLEAR, machine_own.LOGS) and stat.S_ISDIR(st.st_mode):
        yield from _below(rule, top, path)
    elif rule.action == machine_own.REWRITE and rule.rewrite and is_file:
        text = within.text(top, path, _LARGEST) or ""
        new = rule.rewrite(text, own)
        if new is None:
            yield path, "removed", None
        elif new != text:
            yield path, "rewritten", new.encode(errors="surrogateescape")


def _below(rule: Rule, top: str, path: str) -> Iterator[tuple[str, str, bytes | None]]:
    """The files below a directory that is to be cleared, or whose logs are to be emptied."""
    for name, is_dir in sorted(within.listing(top, path)):
        if is_dir:
            continue
        below = f"{path}/{name}"
        st = paths.status(top, below)
        keep = rule.action == machine_own.LOGS and not machine_own.is_rotated(
            os.path.basename(name)
        )
        if not keep:
            yield below, "removed", None
        elif stat.S_ISREG(st.st_mode) and st.st_size:
            yield below, "emptied", b""


def _matches(top: str, rule: Rule) -> list[str]:
    """The real paths in a root that globs match; symlinks on the way are followed inside it."""
    inside = Inside(top)
    found: dict[str, None] = {}
    is_directory = rule.action in (machine_own.CLEAR, machine_own.LOGS)
    for pattern in rule.globs.split():
        above = [""]
        *directories, last = pattern.split("/")
        for component in directories:
            above = [each for place in above for each in _entries(inside, place, component)]
        for place in above:
            for path in _entries(inside, place, last):
                try:
                    real = inside.directory(path).real if is_directory else inside.entry(path)
                except PathRefused:
                    continue  # a link that leads nowhere in here
                found[real] = None
    return list(found)


def _entries(inside: Inside, place: str, pattern: str) -> list[str]:
    """The names in a directory of the root that fit, with the directory's path before them."""
    try:
        real = inside.directory(place).real
    except PathRefused:
        return []
    hidden = pattern.startswith(".")
    names = within.names(inside.prefix, real)
    fitting = [name for name in names if fnmatchcase(name, pattern)]
    return [f"{real}/{name}" if real else name for name in fitting if hidden or name[0] != "."]
