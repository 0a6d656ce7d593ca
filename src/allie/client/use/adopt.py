"""Adopt: find what was changed by hand in a file of the overlays, and offer it to the store.

    PATH → its winner in the mirror, and what stands there → HandFix → kept, until a report takes it

What stands there is read through no link, as a tick would. Where a tick has put the store's file
back already, the fix is what that tick found: it is kept for undo.

docs/internals/rules.md, "A hand fix is offered by hand".
"""

from __future__ import annotations

import os
import stat
import time

from allie.client.apply import real_paths, transaction
from allie.client.mirror import identity, stores
from allie.client.originals import undo_ticks
from allie.client.situation import grounds, hand_fixes
from allie.client.situation.grounds import Resolved
from allie.client.state import records, script_files
from allie.core import digest, stubs
from allie.core.change import hand_fix
from allie.core.change.hand_fix import LARGEST, LONGEST_REASON, HandFix
from allie.core.change.resolution import Entry
from allie.core.conf.settings import Settings
from allie.core.errors import PathRefused, StateError, UsageError
from allie.core.system import System
from allie.core.value import Value
from allie.machine.files import atomic, tree
from allie.machine.roots.reach import Reach

_SET_ID = stat.S_ISUID | stat.S_ISGID
_LINKED = "has another name: its user may have made it of any file"
_NO_PLACE = "this PC has no place for a report, and so none for what it offers"
_HOW = "it needs an ssh door of the store: `allie store setup` there, `allie join --own ssh://…`"


class HandEdit(Value):
    """A hand fix that could be offered, and what it differs from."""

    fix: HandFix
    real: str  # where it is in this root
    store: bytes  # the overlay's file
    tick: int = 0  # that has put the store's file back, if one has


def need_inbox(here: System, settings: Settings) -> str:
    """Where this PC's report goes. Raises UsageError where nothing takes one."""
    if settings.root and not here.is_base:
        raise UsageError("the system that runs tells the store of this PC", "boot this one first")
    inbox = stores.inbox(here, settings)
    if not inbox:
        raise UsageError(_NO_PLACE, _HOW)
    return inbox


def find(here: System, path: str, reason: str) -> HandEdit:
    """What was changed by hand at a path. Raises UsageError or StateError where it is nothing.

    path: without its first slash.
    """
    if len(reason) > LONGEST_REASON:
        raise UsageError(f"the reason is longer than {LONGEST_REASON} characters")
    known = grounds.resolve(here)
    inside = real_paths.inside_of(here, records.load_ledger(here), known)
    path = real_paths.as_spelled(inside, path, known)
    entry = _entry(path, known)
    store = _of_store(known, entry)
    try:
        real = inside.entry(path)
        with Reach(here.root) as reach:
            content, tick = _read(reach, real), 0
            kept = _found_by_a_tick(here, reach, real, store) if content in (store, None) else None
    except PathRefused as refused:
        raise StateError(str(refused)) from refused
    if kept:
        content, tick = kept
    if content in (store, None):
        raise UsageError(_nothing(real, gone=content is None), "allie log --paths")
    if not content:
        raise UsageError(f"/{real} is empty: that is not offered", "change it in the store")
    base = digest.of(store)
    fix = HandFix(path, entry.overlay, entry.spelling, base, content, reason, time.time())
    return HandEdit(fix, real, store, tick)


def offer(here: System, found: HandEdit) -> None:
    """Offer it from now on. Raises UsageError where this PC offers too much already."""
    others = [each for each in hand_fixes.kept(here) if each.path != found.fix.path]
    size = sum(len(each.content) for each in others) + len(found.fix.content)
    if size > LARGEST or len(others) >= hand_fix.MOST:
        most = f"{hand_fix.MOST} files of {LARGEST} bytes together"
        raise UsageError(f"a PC offers no more than {most}", "allie adopt --list, and --withdraw")
    hand_fixes.keep(here, found.fix)


def when(here: System) -> str:
    """When what is offered goes, and what is in the way."""
    script = script_files.read(here, stubs.REPORTER)
    if not script or not script.executable:
        return f"{here.conf}/{stubs.REPORTER} does not run by itself: this PC tells nothing"
    if identity.waits(records.own_contact(here).trouble):
        return "it goes once this PC is enrolled: `allie status` shows how"
    return "it goes with the next tick, or now: `allie run-conf 99report`"


def _entry(path: str, known: Resolved) -> Entry:
    """The winner of a path, which must be a file."""
    problem = next((each.message for each in known.resolution.problems if each.path == path), "")
    if problem:
        raise UsageError(f"/{path} is left as it is: {problem}", f"allie why /{path}")
    entry = known.resolution.entries.get(path)
    if entry is None:
        words = f"/{path} is in no overlay for this system"
        raise UsageError(words, "a new file is put into an overlay on the server")
    if entry.is_dir or entry.flag == "absent":
        what = "to be absent" if entry.flag == "absent" else "a directory"
        raise UsageError(f"{entry.source} is {what}: only a file is offered")
    return entry


def _of_store(known: Resolved, entry: Entry) -> bytes:
    """The overlay's file, as this PC has fetched it."""
    path = f"{known.generation.path}/{entry.source}"
    st = os.lstat(path)
    if not stat.S_ISREG(st.st_mode):
        raise UsageError(f"{entry.source} is no regular file in the store")
    why, hint = hand_fix.refusal(entry.overlay, st.st_mode, tree.xattrs(path))
    if why:
        raise UsageError(f"/{entry.path} is not offered: {why}", hint)
    if st.st_size > LARGEST:
        raise UsageError(f"{entry.source} is larger than {LARGEST} bytes", "change it in the store")
    return atomic.read_bytes(path) or b""


def _read(reach: Reach, real: str) -> bytes | None:
    """The regular file at a real path; None where nothing stands there."""
    st = reach.status(real)
    if st is None:
        return None
    if not stat.S_ISREG(st.st_mode):
        raise UsageError(f"/{real} is no regular file here: only a file is offered")
    above, name = reach.parent(real)
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(name, flags, dir_fd=above)
    try:
        st = os.fstat(descriptor)
        if not stat.S_ISREG(st.st_mode) or st.st_mode & _SET_ID:
            raise UsageError(f"/{real} is setuid or setgid, or no file: it is not offered")
        if st.st_nlink > 1 and reach.is_below_taint(real):
            raise UsageError(f"/{real} {_LINKED}")
        content = atomic.read_open(descriptor, LARGEST)
    finally:
        os.close(descriptor)
    if content is None:
        raise UsageError(f"/{real} is larger than {LARGEST} bytes", "change it in the store")
    return content


def _found_by_a_tick(
    here: System, reach: Reach, real: str, store: bytes
) -> tuple[bytes, int] | None:
    """What the last tick that put the store's file back found there, and its number."""
    for tick in reversed(records.kept_ticks(here)):
        for manifest in undo_ticks.manifests(here, tick):
            files = f"{transaction.undo_place(here, manifest)}/files"
            by_hand = any(each.real == real and each.why == "drift" for each in manifest.steps)
            if by_hand and tree.is_plain_way(files, real):
                st = tree.status(f"{files}/{real}")
                if st and st.st_nlink > 1 and reach.is_below_taint(real):
                    raise UsageError(f"what tick {tick} found at /{real} {_LINKED}")
                small = st is not None and st.st_size <= LARGEST and not st.st_mode & _SET_ID
                content = atomic.read_bytes(f"{files}/{real}") if small else None
                return None if content in (store, None) else (content, tick)
    return None


def _nothing(real: str, *, gone: bool) -> str:
    if gone:
        return f"nothing stands at /{real}: that a file goes is not offered"
    return f"/{real} is as the store has it, and no tick that is kept found it otherwise"
