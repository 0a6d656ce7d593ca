"""What dpkg has on record for paths of a root: read from its files, which any root may bring.

A package's plain files have their sums in `info/*.md5sums`, its conffiles in `status` (a few lines
in each package's field Conffiles, where dpkg has not yet merged them from `updates/`), and what
ucf looks after in a list of its own. Which of two packages with one path is asked depends on
`diversions`.
"""

from __future__ import annotations

import os
from _collections_abc import Iterator, Mapping, Sequence

from allie.core.lean import re
from allie.core.value import Value
from allie.machine.files import atomic

_MD5 = 32  # characters
_GAP = _MD5 + 2  # where the path begins in a line of sums
_OBSOLETE, _REMOVED = "obsolete", "remove-on-upgrade"


class Record(Value):
    """What the package manager has on record for one path."""

    digests: frozenset[str] = frozenset()  # of the file that packages have there now
    config: bool = False  # it is one of those that administrators change
    gone: bool = False  # no package has anything there; False where that is not known


class _Line(Value):
    """One package's word on one path."""

    package: str
    name: str  # as the package spells it, without the first slash
    digest: str
    config: bool = False
    obsolete: bool = False


class _Diversion(Value):
    """What other packages have as `name` lies at `to`; ":" is the administrator's own."""

    name: str
    to: str
    package: str


def records(base: str, spellings: Mapping[str, Sequence[str]]) -> dict[str, Record]:
    """What dpkg knows of paths.

    base: the absolute path of var/lib/dpkg. spellings: by real path, the names that a package may
    have for it (`lib/x` for `usr/lib/x`). Raises OSError or StateError where one of its files
    cannot be read, or is too large to be one: by the others nobody can tell.
    """
    diversions = _diversions(base)
    names = {name for each in spellings.values() for name in each}
    names |= {each.name for each in diversions if each.to in names}
    lines = [*_sums(base, names), *_conffiles(base, names)]
    known = {real: _of_one(each, lines, diversions) for real, each in spellings.items()}
    unknown = [real for real, record in known.items() if not record.digests]
    if unknown and _read(f"{base}/status"):
        named = {each for real in unknown for each in spellings[real]}
        stays = {*_listed(base, named), *(each for way in diversions for each in way[:2])}
        for real in unknown:
            gone = stays.isdisjoint(spellings[real])
            known[real] = known[real]._replace(gone=gone)
    return known


def _of_one(names: Sequence[str], lines: list[_Line], diversions: list[_Diversion]) -> Record:
    away = {each.name: each.package for each in diversions if each.name in names}
    come = {each.name: each.package for each in diversions if each.to in names}
    found = [
        line
        for line in lines
        if (line.name in names and away.get(line.name, line.package) == line.package)
        or (line.name in come and come[line.name] != line.package)
    ]
    # A conffile that one package gave up may be another's now.
    found = [line for line in found if not line.obsolete] or found
    digests = frozenset(line.digest for line in found)
    return Record(digests, any(line.config for line in found))


def _sums(base: str, names: set[str]) -> Iterator[_Line]:
    """`digest  path` in each package's list, and `digest  /path` in ucf's."""
    wanted = {name.encode(errors="surrogateescape"): name for name in names}
    for listed in _names(f"{base}/info"):
        if listed.endswith(".md5sums"):
            package = listed.partition(".md5sums")[0].partition(":")[0]
            for line in _read(f"{base}/info/{listed}").split(b"\n"):
                name = wanted.get(line[_GAP:])
                if name:
                    yield _Line(package, name, line[:_MD5].decode(errors="replace"))
    for line in _read(f"{os.path.dirname(base)}/ucf/hashfile").split(b"\n"):
        name = wanted.get(line[_GAP + 1 :])
        if name:
            yield _Line("", name, line[:_MD5].decode(errors="replace"), config=True)


def _conffiles(base: str, names: set[str]) -> Iterator[_Line]:
    """Lines ` /path digest` and words of its state; a path may hold spaces."""
    for package, block in _fields(base).items():
        for text in block.decode(errors="surrogateescape").split("\n"):
            line, flags = text, []
            while line.endswith((f" {_OBSOLETE}", f" {_REMOVED}")):
                line, _, flag = line.rpartition(" ")
                flags.append(flag)
            path, _, digest = line.rpartition(" ")
            # A digest of another length: the package is unpacked, and not configured yet.
            if path[2:] in names and len(digest) == _MD5 and _REMOVED not in flags:
                name = package.partition(":")[0]
                yield _Line(name, path[2:], digest, config=True, obsolete=_OBSOLETE in flags)


def _fields(base: str) -> dict[str, bytes]:
    """The field Conffiles of each package; what was changed last is in `updates/`."""
    updates = [each for each in _names(f"{base}/updates") if each.isdigit()]
    found = {}
    for name in ("status", *(f"updates/{each}" for each in sorted(updates))):
        for stanza in _read(f"{base}/{name}").split(b"\n\n"):
            fields = b"\n" + stanza
            package = f"{_field(fields, 'Package')}:{_field(fields, 'Architecture')}"
            rest = fields.partition(b"\nConffiles:")[2]
            found[package] = re.split(b"\n(?! )", rest, maxsplit=1)[0]
    return found


def _field(stanza: bytes, name: str) -> str:
    """A field of one line."""
    _, _, rest = stanza.partition(f"\n{name}: ".encode())
    return rest.partition(b"\n")[0].decode(errors="surrogateescape")


def _diversions(base: str) -> list[_Diversion]:
    """Three lines each: what is diverted, where it lies now, and for which package."""
    lines = _read(f"{base}/diversions").decode(errors="surrogateescape").split("\n")
    found = zip(lines[::3], lines[1::3], lines[2::3])
    return [_Diversion(name[1:], to[1:], package) for name, to, package in found]


def _listed(base: str, names: set[str]) -> set[str]:
    """Those of the names that some package has, if only as a link."""
    wanted = {f"/{name}".encode(errors="surrogateescape"): name for name in names}
    found: set[str] = set()
    for listed in _names(f"{base}/info"):
        if listed.endswith(".list"):
            lines = wanted.keys() & set(_read(f"{base}/info/{listed}").split(b"\n"))
            found |= {wanted[line] for line in lines}
    return found


def _names(directory: str) -> list[str]:
    """What is in a directory of dpkg's; nothing where there is none."""
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _read(path: str) -> bytes:
    """A file of dpkg's, b"" if there is none. Raises StateError as `atomic.read_bytes` does."""
    return atomic.read_bytes(path) or b""
