"""Take what a PC offers into an overlay's working tree, once a person has seen it.

    HandFix of a report, the store → Case: the overlay's file, and what speaks against it → written

A report is a stranger's. Of a fix nothing but its bytes is used: its overlay and spelling must be
found in the store's own listing, its file is opened through no link and on no other mount, and it
must be the one that the PC compared with. A new file takes its place by one rename, with owner,
mode and attributes of the old one; killed before that, nothing has changed.

docs/internals/rules.md, "A hand fix is offered by hand".
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from allie.core import digest, tags
from allie.core.change import hand_fix
from allie.core.change.hand_fix import LARGEST, HandFix
from allie.core.errors import Busy, StateError
from allie.core.value import Value
from allie.machine.files import atomic, beneath, lock, tree
from allie.server import overlays
from allie.server import store as stores

OPEN, TAKEN, REFUSED = "offered", "taken", "refused"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_BESIDE = ".allie-adopt~"  # no PC fetches a name with this end (core.change.leavings)


class Case(Value):
    """What a host offers, and how that stands against the store now."""

    host: str
    fix: HandFix
    state: str  # OPEN; TAKEN: the store's file is equal to it; REFUSED: it cannot be taken
    why: str = ""  # in words, of one that is refused
    present: bytes = b""  # the store's file


class _Refusal(Exception):
    """Why a fix cannot be taken."""


class _Opened(Value):
    """The overlay's file and its directory, as descriptors."""

    above: int
    file: int
    name: str
    st: os.stat_result
    content: bytes


def case_of(store: str, host: str, fix: HandFix) -> Case:
    """How a fix stands against the store as it is now."""
    try:
        with _opened(store, fix) as file:
            if file.content == fix.content:
                return Case(host, fix, TAKEN, present=file.content)
            if digest.of(file.content) != fix.base:
                words = f"{fix.source} is another one by now than {host} compared with"
                return Case(host, fix, REFUSED, words, file.content)
            return Case(host, fix, OPEN, present=file.content)
    except _Refusal as refusal:
        return Case(host, fix, REFUSED, str(refusal))


def take(store: str, case: Case) -> None:
    """Write it, if the store's file is still the one that was shown. Raises StateError, Busy."""
    fix = case.fix
    if case.state != OPEN:
        raise StateError(f"nothing is taken: {case.why}", "allie fleet adopt")
    busy = Busy(f"somebody else takes something into {fix.overlay}", "try again")
    place = f"{store}/{overlays.place(fix.overlay)}"
    with lock.of_directory(place, lambda: busy):
        try:
            with _opened(store, fix) as file:
                if file.content != case.present:
                    raise _Refusal(f"{fix.source} was changed while you looked")
                _replace(file, fix.content)
        except _Refusal as refusal:
            raise StateError(f"nothing is taken: {refusal}", "allie fleet adopt") from None
        except OSError as error:
            raise atomic.refused(f"cannot write {place}/{fix.spelling}", error) from error


@contextmanager
def _opened(store: str, fix: HandFix) -> Iterator[_Opened]:
    """The file of an overlay that a fix says it is for. Raises _Refusal where it is none."""
    if not 0 < len(fix.content) <= LARGEST:
        raise _Refusal(f"it is empty, or larger than {LARGEST} bytes")
    _need_listed(store, fix)
    with _descriptors() as held:
        try:
            top = os.open(f"{store}/{overlays.place(fix.overlay)}", _DIRECTORY)
            held.append(top)
            above, _, name = fix.spelling.rpartition("/")
            held.append(beneath.open_beneath(top, above, _DIRECTORY))
            if not stat.S_ISREG(os.stat(name, dir_fd=held[1], follow_symlinks=False).st_mode):
                raise _Refusal(f"{fix.source} is no regular file in the store")
            held.append(os.open(name, _FILE, dir_fd=held[1]))
            file = _looked_at(fix, held[1], held[2], name)
        except OSError as error:
            raise _Refusal(f"{fix.source} cannot be opened: {error.strerror}") from None
        yield file


@contextmanager
def _descriptors() -> Iterator[list[int]]:
    """A list of descriptors that are closed in the end."""
    held: list[int] = []
    try:
        yield held
    finally:
        for each in held:
            os.close(each)


def _need_listed(store: str, fix: HandFix) -> None:
    """Raise _Refusal unless the store itself names such a file, and it is for that path."""
    if fix.overlay not in stores.overlays(store):
        raise _Refusal(f"the store has no overlay {fix.overlay}, from which a PC offers files")
    names = {each.spelling: each.is_dir for each in overlays.load(store, fix.overlay).listing}
    if names.get(fix.spelling, True):
        raise _Refusal(f"the store has no file {fix.source} (any more)")
    path, tag = tags.unspell(fix.spelling)
    if path != fix.path or tag.flag == "absent" or tag.error:
        raise _Refusal(f"{fix.source} is no variant of /{fix.path}")


def _looked_at(fix: HandFix, above: int, descriptor: int, name: str) -> _Opened:
    st = os.fstat(descriptor)
    if not stat.S_ISREG(st.st_mode):
        raise _Refusal(f"{fix.source} is no regular file in the store")
    why, _ = hand_fix.refusal(fix.overlay, st.st_mode, tree.xattrs(descriptor, follow=True))
    if why:
        raise _Refusal(f"{fix.source}: {why}")
    if st.st_nlink > 1:
        raise _Refusal(f"{fix.source} has {st.st_nlink} names (hard links): change it by hand")
    content = atomic.read_open(descriptor, LARGEST)
    if content is None:
        raise _Refusal(f"{fix.source} is larger than {LARGEST} bytes: change it by hand")
    return _Opened(above, descriptor, name, st, content)


def _replace(file: _Opened, content: bytes) -> None:
    """Put a file with this content, and the old one's owner, mode and attributes, in its place."""
    with suppress(FileNotFoundError):
        os.unlink(_BESIDE, dir_fd=file.above)  # of one that was killed
    descriptor = os.open(_BESIDE, _NEW, 0o600, dir_fd=file.above)
    try:
        with os.fdopen(descriptor, "wb") as new:
            new.write(content)
            new.flush()
            os.fchown(descriptor, file.st.st_uid, file.st.st_gid)
            for name, value in tree.xattrs(file.file, follow=True).items():
                os.setxattr(descriptor, name, value)
            os.fchmod(descriptor, stat.S_IMODE(file.st.st_mode))
            os.fsync(descriptor)
        now = os.stat(file.name, dir_fd=file.above, follow_symlinks=False)
        if (now.st_ino, now.st_ctime_ns) != (file.st.st_ino, file.st.st_ctime_ns):
            raise _Refusal(f"{file.name} was changed meanwhile")
        os.rename(_BESIDE, file.name, src_dir_fd=file.above, dst_dir_fd=file.above)
    except BaseException:
        with suppress(OSError):
            os.unlink(_BESIDE, dir_fd=file.above)
        raise
    os.fsync(file.above)
