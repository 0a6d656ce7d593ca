"""A new system for this PC: fetch its image, make it fit, run its first tick.

    note → image    → fit → first tick → sync → visible
           overlays

It becomes visible when all of that is done: a directory by one rename, a partition when the note
goes. Killed or without power at any point, the next try brings what is missing, or half. There is
one sync, at the end: docs/internals/rules.md, "A tree in the making goes to the disk once".
"""

from __future__ import annotations

import os
from _collections_abc import Iterator
from contextlib import contextmanager, nullcontext

from allie.client.mirror import generation as generations
from allie.client.mirror import stores
from allie.client.situation import other_systems
from allie.client.situation.other_systems import IMAGE, READY, TICK, Note
from allie.client.systems import early_overlays, fence, own_files, record
from allie.client.tick import kit, timer
from allie.core import lean
from allie.core.conf.settings import Declared, Settings
from allie.core.errors import DiskFull, NoRoom, SettingsError, StateError, StoreError, Unreachable
from allie.core.system import System
from allie.core.value import Value
from allie.machine.disk import tree_copies
from allie.machine.files import atomic, free_space
from allie.machine.files.background_sync import BackgroundSync
from allie.machine.roots import open_system, within
from allie.machine.transfer import image_fetch, rsync
from allie.machine.transfer.image_fetch import Filling, Transfer


class Job(Value):
    """What is wanted: a system, on this PC, as these settings have it."""

    base: System
    settings: Settings
    declared: Declared
    tree: str = ""  # where it is made
    like: str = ""  # the tree of this system that it is to take the place of
    fills: bool = False  # it is empty, and begins with a copy of that one

    @property
    def stall(self) -> int:
        """Seconds of silence: more than for overlays, since the disk serves low priority last."""
        return self.settings.stall * rsync.PATIENCE


def bring(job: Job) -> None:
    """Bring a missing system, or go on doing so; nothing happens where it is there.

    Raises Busy, StateError, SettingsError, or StoreError; what was fetched so far stays.
    """
    declared = job.declared
    if not declared.image or not declared.overlays:
        lacking = "overlays" if declared.image else "image"
        raise SettingsError(f"[system {declared.name}] of allie.conf names no {lacking}")
    with at_work(job) as root:
        other_systems.need_free_place(declared, root)
        if other_systems.standing(declared, root)[0] == other_systems.THERE:
            finish(root)
            return
        if other_systems.in_place(declared, root):
            build(job._replace(tree=root))
            other_systems.drop_note(root)
            return
        unfinished = other_systems.beside(root, "part")
        tree_copies.begin(unfinished)
        build(job._replace(tree=unfinished))
        if os.path.isdir(root):
            os.rmdir(root)  # empty
        os.rename(unfinished, root)  # now it is seen
        atomic.sync_directory(os.path.dirname(root))
        other_systems.drop_note(root)


@contextmanager
def at_work(job: Job) -> Iterator[str]:
    """A system's root, under its lock; what goes wrong is noted."""
    base, declared = job.base, job.declared
    with (
        record.held(base, declared.name),
        record.noting_trouble(base, declared.name),
        other_systems.opened(base, declared) as at,
    ):
        fence.before(base, declared, at)
        record.note_place(base, declared)
        with fence.apart_from_users(declared, at):
            yield at


def build(job: Job) -> None:
    """Make a tree the wanted system, up to READY, from wherever an earlier try had come."""
    declared, tree = job.declared, job.tree
    note = other_systems.note_of(tree)
    if note is None or (note.system, note.image) != (declared.name, declared.image):
        update = bool(job.like) or (note.update if note else False)
        unsynced = note is not None and note.unsynced
        note = Note(declared.name, declared.image, IMAGE, update=update, unsynced=unsynced)
        other_systems.write_note(tree, note)
    if note.phase == IMAGE or note.unsynced:
        _bring_and_tick(job, note)
    elif note.phase == TICK:
        _first_tick(job, tree)
        atomic.sync_filesystem(tree)
    if note.phase != READY:
        other_systems.write_note(tree, note._replace(phase=READY, unsynced=False))


def _bring_and_tick(job: Job, note: Note) -> None:
    """All up to the sync. Where the first tick fails, the next try begins with that."""
    tree, again = job.tree, note.unsynced
    # A note that is cut short is a new system's: of an update in place, people's files would go
    durable = note.update and not job.like
    note = note._replace(phase=IMAGE, unsynced=True)
    other_systems.write_note(tree, note, durable=durable)
    with BackgroundSync(tree) as to_disk:
        with _naming_full_disk(job):
            _fetch(job, note)
            with atomic.InOneSync():
                _make_fit(job, note, again=again)
            other_systems.write_note(tree, note._replace(phase=TICK), durable=durable)
        try:
            with atomic.InOneSync():
                _first_tick(job, tree)
        except BaseException:
            to_disk.finish()
            other_systems.write_note(tree, note._replace(phase=TICK, unsynced=False))
            raise
        with _naming_full_disk(job):
            to_disk.finish()


def _make_fit(job: Job, note: Note, *, again: bool) -> None:
    """Make what came this PC's. again: what an earlier try brought may be names without content."""
    base, declared, tree = job.base, job.declared, job.tree
    own_files.drop_state(tree, mirror=again)
    _check(tree, note.image)
    own_files.fit(base, declared, tree, like=job.like, update=note.update, by_content=again)
    if not note.update:
        early_overlays.take_over(base, declared, tree)


def finish(root: str) -> None:
    """Remove the note of a finished fetch that was killed before it could."""
    note = other_systems.note_of(root)
    if note and note.phase == READY:
        other_systems.drop_note(root)


@contextmanager
def _naming_full_disk(job: Job) -> Iterator[None]:
    """Where the disk takes no more, say how much was free; and free what is beside a system."""
    room = free_space.room(job.tree)
    try:
        yield
    except NoRoom as error:
        if not other_systems.in_place(job.declared, job.tree):
            tree_copies.discard(job.tree)
            room = free_space.room(os.path.dirname(job.tree))  # all that the next try will have
        raise DiskFull(error, job.declared.image, room.free, room.free_names) from error


def _fetch(job: Job, note: Note) -> None:
    """Fetch the image, and the overlays of a new system meanwhile."""
    early = early_overlays.fetching(job.base, job.declared, job.tree)
    filling = Filling(lambda: tree_copies.fill(job.like, job.tree)) if job.fills else None
    with nullcontext() if note.update else early, filling or nullcontext():
        stores.first_that_answers(
            job.base, job.settings, lambda store: _transfer(job, note, store, filling)
        )


def way(job: Job, tree: str, store: str) -> Transfer:
    """How the image comes from a store to a tree."""
    able = rsync.limited_to(tree, rsync.version(f"{job.base.state}/rsync"))
    source = rsync.sources(store, [f"images/{job.declared.image}"])[0]
    return Transfer(able, stores.reach(job.base, job.settings, store, job.stall), source, tree)


def _transfer(job: Job, note: Note, store: str, filling: Filling | None) -> None:
    tree, bandwidth = job.tree, job.settings.bandwidth
    what = way(job, tree, store)
    progress = record.Progress(job.base, job.declared.name, note.image)
    asks = 0 if progress.options else image_fetch.how_to_ask(what.able)
    options = progress.options or ([] if asks else ["--info=progress2"])
    options += [f"--bwlimit={bandwidth}"] if bandwidth else []
    fresh = not note.update and other_systems.is_empty(tree)
    options += [] if fresh else [rsync.BY_CONTENT]
    excluded = own_files.excluded(job.like or tree, update=note.update)
    what = what._replace(like=job.like, update=note.update, fresh=fresh)
    what = what._replace(excluded=excluded, options=options)
    image_fetch.fetch(what, store, job.stall, progress.follow, asks, filling, _load_the_tick)


def _load_the_tick() -> None:
    """Load what both halves of the first tick will want, while we have nothing to do but wait."""
    from allie.client.tick import part_work  # noqa: F401, PLC0415 - see HACKING.md, start-up

    lean.all_now()


def _check(tree: str, image: str) -> None:
    """What came must be a system: a disk of the store's, as its /usr, may not be mounted."""
    if not within.names(tree, "bin"):
        raise StoreError(f"the image {image} is no system: it has nothing in /bin")


def _first_tick(job: Job, tree: str) -> None:
    """Lay the overlays and run the scripts, before anybody sees the system."""
    here = open_system.open_system(tree)
    report = kit.first_tick_of_another(here)
    contact, here = report.contact, open_system.open_system(tree)  # scripts may have moved things
    if generations.current(here) is None or contact.trouble:
        kind = StoreError if contact.refused or not contact.trouble else Unreachable
        raise kind(f"{here.name}: its first tick brought no overlays: {contact.trouble}")
    if not any(each.part == "overlay" for each in report.applied):
        why = next((each.last or each.why for each in report.scripts if each.code), "")
        raise StateError(f"{here.name}: its first tick laid no overlays: {why}")
    if timer.is_on(job.base):  # it may be booted one day
        timer.install(here, job.settings.host)
