"""What package managers know of a path: whether a file is theirs, and what they have there now.

Ours may have lain over it while they upgraded or removed it: docs/internals/packages.md tells what
comes back when. dpkg's lists are read as files, from any root; rpm's database by that root's rpm.
"""

from __future__ import annotations

import os
import stat
from _collections_abc import Iterable, Mapping, Sequence

from allie.client.originals import dpkg
from allie.client.originals.dpkg import Record
from allie.core.change.ledger import NOTHING, Placed, is_packages, pristine_name
from allie.core.errors import PathRefused, StateError
from allie.core.lean import hashlib, suppress
from allie.core.system import System
from allie.machine.files import tree
from allie.machine.programs import process
from allie.machine.roots import paths
from allie.machine.roots.reach import MOST_READ, Reach

_DPKG = "var/lib/dpkg"
_KINDS = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}  # by the length of the digest
_RPM = ("var/lib/rpm", "usr/lib/sysimage/rpm")
_AT_ONCE = 20  # paths that rpm is asked about
_MOST_SAID = 16 << 20  # bytes of its answer
# What is kept beside a file that was not as its package had left it: the package's newer one.
_BESIDE = (".dpkg-dist", ".dpkg-new", ".ucf-dist", ".ucf-new", ".rpmnew")


def installed(here: System, real: str, path: str) -> bool:
    """Whether what stands at a real path is, byte for byte, what a package put there.

    path: the way by which it is reached.
    """
    return _is_one_of(path, records(here, [real])[real].digests)


def all_installed(here: System, reach: Reach, reals: Iterable[str]) -> set[str]:
    """Those of several real paths; what cannot be looked at is not among them."""
    found = set()
    for real, record in records(here, reals).items():
        with suppress(OSError, PathRefused):
            if record.digests and _is_one_of(reach.path(real), record.digests):
                found.add(real)
    return found


def remarks(here: System, kept: Mapping[str, str]) -> dict[str, str]:
    """What is to be said of paths to which something outdated comes back.

    kept: by real path, its name in pristine/. Of a file that administrators change it is said only
    where it was the package's own when it was kept.
    """
    found = {}
    for real, record in records(here, kept).items():
        path = f"{here.pristine}/{kept[real]}"
        theirs = record.digests and (not record.config or is_packages(kept[real]))
        if theirs and not _is_one_of(path, record.digests):
            found[real] = "withdrawn, older than its package's"
        elif os.path.islink(path) and _dangles(here, real, os.readlink(path)):
            found[real] = "withdrawn, a link that leads nowhere now"
    return found


def _dangles(here: System, real: str, target: str) -> bool:
    """Whether a symlink at a real path would lead nowhere. Nothing is followed out of the root."""
    inside = paths.Inside(here.root)
    with suppress(OSError, PathRefused):
        way = os.path.normpath(os.path.join("/", os.path.dirname(real), target))
        return not os.path.lexists(inside.prefix + inside.file(way.lstrip("/")))
    return False


def today(
    here: System, reach: Reach, going: Mapping[str, Placed]
) -> tuple[dict[str, Placed], dict[str, str], set[str]]:
    """What comes back where paths are withdrawn that were their packages', or nobody's, before us.

    A package may have been upgraded, installed or removed while ours lay there. It then left its
    new file beside ours, or has none any more. Returns, by real path, the entry that is to be in
    the ledger instead; where what comes back is to be copied from; and the paths where ours is just
    what the package has, and stays. What cannot be told is in none of them.
    """
    asked = [real for real, old in going.items() if is_packages(old.pristine, or_none=True)]
    entries, sources, stays = {}, {}, set()
    for real, record in (records(here, asked) if asked else {}).items():
        kept = going[real].pristine
        if kept != NOTHING and record.gone:
            entries[real] = going[real]._replace(pristine=NOTHING)
        elif kept == NOTHING or not _is_one_of(f"{here.pristine}/{kept}", record.digests):
            source = _source(reach, real, record)
            if source == real and kept == NOTHING:
                stays.add(real)
            elif source:
                sources[real] = source
                entries[real] = going[real]._replace(pristine=pristine_name(real, packaged=True))
    return entries, sources, stays


def _source(reach: Reach, real: str, record: Record) -> str:
    """The path at which stands what a package has for a path; "" if there is none.

    In a directory of a user's only the path itself is looked at: he can put anything beside it.
    """
    with suppress(OSError, PathRefused):
        beside = () if reach.is_below_taint(real) else _BESIDE
        for name in (real, *(real + each for each in beside)):
            if _stands(reach, name, record):
                return name
    return ""


def _stands(reach: Reach, real: str, record: Record) -> bool:
    st = reach.status(real)
    return bool(st and stat.S_ISREG(st.st_mode)) and _is_one_of(reach.path(real), record.digests)


def records(here: System, reals: Iterable[str]) -> dict[str, Record]:
    """What the package manager of a root knows of real paths."""
    inside = paths.Inside(here.root)
    spellings = {real: _spellings(inside, real) for real in reals}
    with suppress(OSError, PathRefused, StateError):  # then nobody can be asked
        if inside.directory(f"{_DPKG}/info").exists:
            return dpkg.records(inside.prefix + inside.directory(_DPKG).real, spellings)
        if any(inside.directory(each).exists for each in _RPM):
            return _by_rpm(here, spellings)
    return dict.fromkeys(spellings, Record())


def _spellings(inside: paths.Inside, real: str) -> list[str]:
    """The names by which a package may have a path: also the one before merged-/usr."""
    other = real[len("usr/") :] if real.startswith("usr/") else ""
    with suppress(PathRefused):
        if other and inside.entry(other) == real:
            return [real, other]
    return [real]


def _by_rpm(here: System, spellings: Mapping[str, Sequence[str]]) -> dict[str, Record]:
    """rpm --dump: path size mtime digest mode owner group config doc device link

    Of another system its own rpm, shut in as its scripts are: `rpm --root` would load that system's
    libraries with the base's powers.
    """
    known = {}
    reals = list(spellings)
    for at in range(0, len(reals), _AT_ONCE):
        known.update(_lines_of_rpm(here, reals[at : at + _AT_ONCE]))
    found = {}
    for real, names in spellings.items():
        of_one = [known[name] for name in names if name in known]
        found[real] = of_one[0] if of_one else Record()
    return found


def _lines_of_rpm(here: System, reals: list[str]) -> dict[str, Record]:
    argv = ["rpm", "-qf", "--dump", *(f"/{real}" for real in reals)]
    if not here.is_base:  # it exits 1 where one of them is no package's
        from allie.machine.namespaces import sealed_run  # noqa: PLC0415 - see HACKING.md, start-up

        out = sealed_run.ask(here.root, argv, most=_MOST_SAID, good=(0, 1))
    else:
        out = process.run(argv).out if process.has_program("rpm") else b""
    found = {}
    for line in out.decode(errors="surrogateescape").splitlines():
        fields = line.rsplit(" ", 10)
        if len(fields) == 11:
            digest, link = fields[3], fields[10]
            has_sum = len(digest) in _KINDS and digest.strip("0")
            digests = {digest} if has_sum else {f"l:{link}"} if link != "X" else set()
            found[fields[0][1:]] = Record(frozenset(digests), fields[7] == "1")
    for real in reals:
        if f"file /{real} is not owned by any package\n".encode(errors="surrogateescape") in out:
            found[real] = Record(gone=True)
    return found


def _is_one_of(path: str, digests: frozenset[str]) -> bool:
    """Whether a file, or a symlink, is one of those that packages have; not if it is unreadable."""
    with suppress(OSError):
        st = tree.status(path) if digests else None
        if st and stat.S_ISLNK(st.st_mode):
            return f"l:{os.readlink(path)}" in digests
        if st and stat.S_ISREG(st.st_mode) and (st.st_uid == 0 or st.st_size <= MOST_READ):
            kinds = {len(each) for each in digests if each[:2] != "l:"}
            return any(_digest(path, each) in digests for each in kinds)
    return False


def _digest(path: str, length: int) -> str:
    """The digest of a file, of the kind that has so many characters."""
    state = hashlib.new(_KINDS[length])
    # It may be a user's, who puts a fifo there, or keeps it from being opened (fcntl(2), leases).
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            state.update(piece)
    return state.hexdigest()
