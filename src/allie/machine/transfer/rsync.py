"""rsync's command lines, and what its exits mean. The argv builders are pure.

Works with rsync 3.1 and newer; what a build lacks is left out: docs/reference/rsync-versions.md.
docs/internals/rules.md, "rsync reads names as comments" and "One call for one server".
"""

from __future__ import annotations

import os
from _collections_abc import Sequence

from allie.core.change import leavings
from allie.core.conf import addresses
from allie.core.errors import PROTECTED, NoRoom, StateError, StoreError, Unreachable
from allie.core.lean import dumps, loads, re
from allie.core.value import Value
from allie.machine.files import atomic
from allie.machine.programs import process
from allie.machine.programs.process import Finished
from allie.machine.programs.process_groups import FULL, MUCH

EXACT = "--modify-window=-1"  # times are compared to the nanosecond
BY_CONTENT = "--checksum"  # not size and time alone, which many have that differ: twice built ones
PATIENCE = 5  # times `stall`: with an image an end may read contents first, or have a busy disk
# rsync(1), EXIT VALUES. 5 start of the protocol, 10 socket, 12 stream, 30 and 35 time-outs,
# 255 is ssh's own; the server went away, or was never there.
_AWAY = (5, 10, 12, 30, 35, 255)
PARTIAL = 23  # something that was asked for is not there, or cannot be read
_HERE = (  # on this side: so marked since rsync 3.2, before that known by what was done
    rb"rsync: (\[(generator|receiver)\]|mkstemp|rename|delete_file|recv_generator|failed to set)"
    rb"|could not make way for "  # of a directory with what is left alone there
)
_CHANGED = (PARTIAL, 24)  # or files vanished: the store is being edited
_NOT_OURS = ("-x security.selinux", "-x trusted.overlay.*", "-x security.ima")
_CONNECT = 10  # seconds
# What rsync says where a name of the store is not there, and where we are not admitted: a daemon
# that lists no modules says of a module that is not for this host that it does not know it.
_NOT_THERE = r'(?:change_dir|link_stat) "/?(.*)"(?: \(in (\w+)\))? failed: No such file or .* \(2\)'
_LISTED_BY = {"overlays": "overlay", "images": "image"}
# A file of an overlay or image, which was there a moment ago
_WITHIN = r'"/[^/"]+/[^"]+" \(in (overlays|images)|/(overlays|images)/[^/"]+/.'
_NOT_SERVED = r"Unknown module|access denied to"
# What stands before a name in an answer (%i); rsync has other things to say, too
_GONE, _DONE, _KINDS = b"*deleting   ", b"<>ch.", b"fdLDS"


class Version(Value):
    """What the rsync of this PC can do, and what the file system has to which it writes."""

    number: tuple[int, ...]
    acls: bool = True
    xattrs: bool = True
    users: bool = True  # attributes called user.*, which older kernels have not on tmpfs

    @property
    def plain(self) -> Version:
        """The same without ACLs and attributes, which double what a question costs both ends."""
        return self._replace(acls=False, xattrs=False)


def no_rsync() -> StateError:
    """The error where this machine has no rsync."""
    return StateError("rsync is not installed", "install the package rsync")


def parse_version(text: str) -> Version:
    """Read `rsync --version`."""
    said = [*text.partition("version ")[2].lstrip("v").partition(" ")[0].split("."), "0"][:3]
    digits = [each[: len(each) - len(each.lstrip("0123456789"))] for each in said]
    number = tuple(map(int, digits)) if len(digits) == 3 and all(digits) else (3, 1, 0)
    return Version(number, " no ACLs" not in text, " no xattrs" not in text)


def version(notes: str, *, limited: bool = False) -> Version:
    """The version of the rsync in PATH, remembered in the file `notes` until the program changes.

    limited: to what the file system of that file has. Raises StateError where there is no rsync.
    """
    path = process.program("rsync")
    if not path:
        raise no_rsync()
    st, place = os.stat(path), os.path.dirname(notes)
    mark = [path, st.st_ino, st.st_ctime_ns, st.st_size, os.stat(place).st_dev]
    try:
        noted = loads(atomic.read_note(notes) or "null")
        if noted and noted["program"] == mark:
            number, *can = noted["limited" if limited else "can"]
            return Version(tuple(number), *can)
    except (ValueError, KeyError, TypeError):
        pass  # a damaged note: ask again
    said = process.run(["rsync", "--version"], check=True, only_reads=True)
    can = parse_version(said.out.decode())
    note = {"program": mark, "can": can, "limited": limited_to(place, can)}
    atomic.write(notes, dumps(note), durable=False)
    return limited_to(place, can) if limited else can


def limited_to(place: str, able: Version) -> Version:
    """The same without what the file system of a directory does not have: rsync fails on that."""
    from allie.machine.files import attributes  # noqa: PLC0415 - see HACKING.md, start-up

    acls, xattrs, users = attributes.tried(place)
    return able._replace(acls=able.acls and acls, xattrs=able.xattrs and xattrs, users=users)


def archive_flags(able: Version, *, holes: bool = True) -> list[str]:
    """Everything a file has: holes, links, ACLs, xattrs, numeric owners; not what is the PC's."""
    flags = ["-a" + "S" * holes + "H" + "A" * able.acls + "X" * able.xattrs, "--numeric-ids"]
    return flags + _filters(able)


def transport(store: str, stall: int, shell: str = "") -> list[str]:
    """The options that a store's kind of address wants. shell: for an ssh door, the ssh."""
    if store.startswith("rsync://"):
        # A message of the day would come where the answer does.
        bounds = [f"--contimeout={_CONNECT}", f"--timeout={stall}"]
        return ["--no-motd", "--sockopts=TCP_NODELAY", *bounds]
    if addresses.is_door(store):
        return ["--no-motd", "-e", shell, f"--timeout={stall}"]
    if store.startswith("ssh://"):
        port = addresses.login_at(store)[1]
        ssh = f"ssh -oBatchMode=yes -oConnectTimeout={_CONNECT}" + (f" -p{port}" if port else "")
        return ["-e", ssh, f"--timeout={stall}"]
    return []


def sources(store: str, paths: Sequence[str]) -> list[str]:
    """The arguments that name paths of a store, whose first component is the module.

    >>> sources("rsync://h:873/", ["overlays/kit", "overlays/common"])
    ['rsync://h:873/overlays/kit', 'rsync://h:873/overlays/common']
    >>> sources("ssh://root@h/srv/allie", ["overlays/kit", "overlays/common"])
    ['root@h:/srv/allie/overlays/kit', ':/srv/allie/overlays/common']
    >>> sources("ssh://h:8730", ["overlays/kit", "overlays/common"])
    ['allie-store@h::overlays/kit', '::overlays/common']
    """
    if addresses.is_door(store):
        return [f"{addresses.door_at(store)[0]}::{paths[0]}", *(f"::{path}" for path in paths[1:])]
    if store.startswith("ssh://"):
        host, _, top = addresses.login_at(store)
        first = [f"{host}:/{top.rstrip('/')}/{paths[0]}"]
        return first + [f":/{top.rstrip('/')}/{path}" for path in paths[1:]]
    return [f"{store.rstrip('/')}/{path}" for path in paths]


def exact_times(able: Version, known: str) -> list[str]:
    """Compare times to the nanosecond, where the disk of the file `known` keeps them.

    rsync looks at whole seconds: of two edits of one size in one second it would bring the first,
    and never the second.
    """
    keeps = os.lstat(known).st_mtime_ns % 10**9 != 0
    return [EXACT] if keeps and able.number >= (3, 1, 3) else []


def ask(
    able: Version, reach: list[str], wanted: list[str], into: str, *, gone: bool = True
) -> list[str]:
    """What would a fetch change? One line for each thing; no output means nothing.

    gone: also what is gone, by name, for which rsync reads all directories here: with thousands of
    files that doubles its work. Else a directory with another time tells that something may be.
    Neither a list for each directory nor a second look at each name that comes helps a question,
    which writes nothing; who reads the answer looks at the names in it.
    """
    flags = [*archive_flags(able), *_hidden(), "-n", *["--delete"] * gone, "--no-inc-recursive"]
    flags += ["--trust-sender"] * (able.number >= (3, 2, 5))
    return ["rsync", *flags, "--out-format=%i %n", *reach, "--", *wanted, f"{into}/"]


class Answer(Value):
    """What a fetch would change, by names relative to the target directory."""

    changed: tuple[str, ...]  # files and directories that are new or differ
    gone: tuple[str, ...]
    links: bool  # whether a hard link is among what changed
    directories: bool = False  # … or a directory, from which something may be gone


def parse_answer(out: bytes) -> Answer:
    """Read what `ask` printed.

    rsync prints a byte that is not printable, and a backslash that could be taken for one, as
    a backslash, # and three octal digits.
    """
    changed: list[str] = []
    gone: list[str] = []
    links = directories = False
    for line in out.splitlines():
        if line[:12] == _GONE:
            gone.append(plain_name(line[12:]))
        elif line.find(b" ") == 11 and line[:1] in _DONE and line[1:2] in _KINDS:
            changed.append(plain_name(line[12:]))
            links = links or line[:1] == b"h"
            directories = directories or line[1:2] == b"d"
    return Answer(tuple(changed), tuple(gone), links, directories)


def plain_name(name: bytes) -> str:
    """A name as it is, from how rsync prints it."""
    if b"\\#" in name:
        name = re.sub(rb"\\#([0-7]{3})", lambda found: bytes([int(found.group(1), 8)]), name)
    return os.fsdecode(name.rstrip(b"/"))


def fetch(
    able: Version,
    reach: list[str],
    wanted: list[str],
    into: str,
    link: Sequence[str],
    *,
    whole: bool = False,
) -> list[str]:
    """Fetch into a new directory; what did not change is a hard link to one of `link`.

    whole: with what would be leavings in an overlay: an image has its .git and its *~, too.
    """
    links = [f"--link-dest={place}/" for place in link]
    flags = [*archive_flags(able), *([] if whole else _hidden()), "--delete"]
    return ["rsync", *flags, *reach, *links, "--", *wanted, f"{into}/"]


def fetch_some(
    able: Version, reach: list[str], source: str, into: str, copy: Sequence[str]
) -> list[str]:
    """Fetch the names on standard input into a new directory, and the directories above them.

    copy: trees that have most of it already, so that only differences are sent.
    """
    links = [f"--copy-dest={place}/" for place in copy]
    flags = [*archive_flags(able), "--from0", "--files-from=-"]
    return ["rsync", *flags, *reach, *links, "--", f"{source}/", f"{into}/"]


def copy_trees(able: Version, old: str, new: str, *, by_content: bool = False) -> list[str]:
    """Copy the named paths (standard input, see `names`) with all below them."""
    flags = [*archive_flags(able), "--from0", "--files-from=-", "--no-implied-dirs", "-r"]
    return ["rsync", *flags, *[BY_CONTENT] * by_content, "--", f"{old.rstrip('/')}/", f"{new}/"]


def names(paths: Sequence[str]) -> bytes:
    """The list for --files-from with --from0: `./` keeps a leading # or ; from being a comment."""
    return b"".join(b"./" + os.fsencode(path) + b"\0" for path in paths)


def check(finished: Finished, store: str) -> None:
    """Raise an error unless a fetch from `store` ended well: the store's, or this PC's disk's."""
    cut = finished.cut
    if finished.code == 0 and not cut:
        return
    _check_door(finished, store)
    if cut and cut.kind == FULL:
        raise NoRoom(cut.words, "make room, or look at what the store has")
    if cut and cut.kind == MUCH:
        raise StoreError(f"{store} {cut.words}: nothing is taken", "look at what it serves")
    words = reason(finished)
    if finished.code == process.NOT_FOUND:
        raise no_rsync()
    if finished.code == 11 or finished.full_disk:  # which may come with code 23, too
        error = NoRoom if finished.full_disk else StateError
        raise error(f"this PC's disk: {words}", "make room, or look at the disk")
    if cut:
        raise Unreachable(f"{store} {cut.words}")
    if finished.code in _AWAY and re.match(_NOT_SERVED, words):
        hint = "on the server: hosts allow in store.conf; or another rsync answers at this address"
        raise Unreachable(f"{store} does not serve this host: {words}", hint)
    if finished.code in _AWAY or finished.code < 0:
        raise Unreachable(f"{store} does not answer: {words}")
    missing = re.fullmatch(_NOT_THERE, words)
    if finished.code == PARTIAL and missing and not re.search(_WITHIN, words):
        path = f"{missing[2]}/{missing[1]}" if missing[2] else f"/{missing[1]}"
        what = path[len(store.rstrip("/")) + 1 :] if path.startswith(store) else path
        kind = _LISTED_BY.get(what.partition("/")[0], "") if "/" in what else ""
        hint = f"allie {kind} list, on the server" if kind else "is it the address of a store?"
        raise StoreError(f"{store} has no {what}", hint)
    if is_refused_here(finished):
        raise StoreError(f"cannot be written on this PC: {words}", PROTECTED)
    if finished.code in _CHANGED:
        raise StoreError(f"{store} is being edited, or cannot be read: {words}")
    raise StoreError(f"fetching from {store} failed: {words}", finished.command)


def _check_door(finished: Finished, store: str) -> None:
    if addresses.is_door(store):
        from allie.machine.transfer import ssh_door  # noqa: PLC0415 - see HACKING.md, start-up

        ssh_door.check(finished, store)


def is_refused_here(finished: Finished) -> bool:
    """Whether all that went wrong is on this side, as rsync says since 3.2, and not the room."""
    lines = [each for each in finished.err.splitlines() if each.startswith((b"rsync: ", b"could "))]
    is_ours = bool(lines) and all(re.match(_HERE, line) for line in lines)
    return finished.code == PARTIAL and not finished.full_disk and is_ours


def may_settle(finished: Finished) -> bool:
    """Whether a second try is worth it: files changed while they were read."""
    return finished.code in _CHANGED and not finished.cut


def reason(finished: Finished) -> str:
    """The line of rsync's complaint that says most: its first, without what is in all of them."""
    lines = [line.strip() for line in finished.err.decode(errors="replace").splitlines()]
    lines = [line for line in lines if line and not line.startswith("rsync error: some files")]
    if not lines:
        return finished.last_words()
    return process.shown(re.sub(r"^(rsync: |@ERROR: |\[\w+\] )+", "", lines[0]))


def _hidden() -> list[str]:
    """What of an overlay the store is to hide; what came of it before goes as if it were gone."""
    return [f"--filter=H {pattern}" for pattern in leavings.PATTERNS]


def _filters(able: Version) -> list[str]:
    rules = (*_NOT_OURS, *(() if able.users else ("-x user.*",)))
    return [f"--filter={rule}" for rule in rules] if able.xattrs else []
