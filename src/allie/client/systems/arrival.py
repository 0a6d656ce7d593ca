"""Bring a system that this PC is to have: fetch its image, make it fit, run its first tick.

    note → image    → fit → sync → first tick → sync → visible
           overlays

It becomes visible when all of that is done: a directory by one rename, a partition when the note
goes. Killed or without power at any point, the next try goes on from there.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from allie.client.mirror import generation as generations
from allie.client.mirror import stores
from allie.client.situation import gather_facts, other_systems, settings_in_force
from allie.client.situation.other_systems import IMAGE, READY, TICK, Note
from allie.client.state import records
from allie.client.systems import early_overlays, fence, own_files
from allie.client.tick import kit, timer
from allie.core.conf.settings import Declared, Settings
from allie.core.errors import (
    AllieError,
    DiskFull,
    NotWritten,
    SettingsError,
    StateError,
    StoreError,
    Unreachable,
    UsageError,
)
from allie.core.system import System
from allie.core.value import Value
from allie.machine import console
from allie.machine.disk import tree_copies
from allie.machine.files import atomic, free_space
from allie.machine.roots import open_system, paths
from allie.machine.transfer import image_fetch, rsync

_SYNC = 60.0  # seconds between two points up to which a power failure costs nothing


class Job(Value):
    """What is wanted: a system, on this PC, as these settings have it."""

    base: System
    settings: Settings
    declared: Declared


def bring(job: Job) -> None:
    """Bring a missing system, or go on doing so; nothing happens where it is there.

    Raises Busy, StateError, SettingsError, or StoreError; what was fetched so far stays.
    """
    declared = _complete(job.declared)
    with at_work(job) as root:
        other_systems.need_free_place(declared, root)
        if other_systems.standing(declared, root)[0] == other_systems.THERE:
            finish(root)
            return
        if other_systems.in_place(declared, root):
            build(job, root)
            other_systems.drop_note(root)
            return
        part = other_systems.beside(root, "part")
        tree_copies.begin(part)
        build(job, part)
        _show(part, root)


@contextmanager
def at_work(job: Job) -> Iterator[str]:
    """A system's root, under its lock; what goes wrong is noted."""
    base, declared = job.base, job.declared
    name = declared.name
    with (
        other_systems.held(base, name),
        noting_trouble(base, name),
        other_systems.opened(base, declared) as at,
    ):
        fence.before(base, declared, at)
        other_systems.note_place(base, declared)
        with fence.apart_from_users(declared, at):
            yield at


def build(job: Job, tree: str, like: str = "") -> None:
    """Make a tree the wanted system, up to READY, from wherever an earlier try had come.

    like: the tree of this system that it is to take the place of.
    """
    declared = job.declared
    note = other_systems.note_of(tree)
    if note is None or (note.system, note.image) != (declared.name, declared.image):
        update = bool(like) or (note.update if note else False)
        note = Note(declared.name, declared.image, IMAGE, update=update)
    if note.phase == IMAGE:
        note = _image(job, tree, note, like)
    if note.phase == TICK:
        _first_tick(job, tree)
        atomic.sync_filesystem(tree)
        other_systems.write_note(tree, note._replace(phase=READY))


def finish(root: str) -> None:
    """A system that is complete and was not said to be."""
    note = other_systems.note_of(root)
    if note and note.phase == READY:
        other_systems.drop_note(root)


def full_since(base: System, name: str) -> float:
    """How many bytes were free when the disk became full under a fetch; 0 if it did not."""
    value = records.read_json(f"{other_systems.book(base, name)}/trouble")
    return float(value.get("free", 0)) if isinstance(value, dict) else 0.0


def trouble(base: System, name: str) -> tuple[str, bool]:
    """(why the last try failed, whether the store was just away); "" if it did not."""
    value = records.read_json(f"{base.systems}/{name}/trouble")
    if not isinstance(value, dict):
        return "", False
    return str(value.get("message", "")), bool(value.get("away"))


def progress(base: System, name: str) -> str:
    """How much came in this try, in words; "" if nobody knows. Of how much, rsync learns later."""
    size = (atomic.read(f"{base.systems}/{name}/progress") or "").strip()
    return f"{size} MiB so far" if size else ""


@contextmanager
def noting_trouble(base: System, name: str) -> Iterator[None]:
    """Keep what went wrong for `system list` and the next tick; forget it when all went well."""
    book = other_systems.book(base, name)
    try:
        yield
    except UsageError:
        raise  # somebody's slip at the keyboard
    except (AllieError, OSError) as error:
        value = {"message": str(error), "away": isinstance(error, Unreachable)}
        if isinstance(error, DiskFull):
            value["free"] = error.free
        try:
            atomic.write(f"{book}/trouble", json.dumps(value))
        except StateError:
            pass  # the disk is what is wrong
        raise
    else:
        atomic.remove(f"{book}/trouble")
    finally:
        atomic.remove(f"{book}/progress")


def _complete(declared: Declared) -> Declared:
    """What is declared, if a system can be brought by it."""
    if not declared.image or not declared.overlays:
        lacking = "overlays" if declared.image else "image"
        raise SettingsError(f"[system {declared.name}] of allie.conf names no {lacking}")
    return declared


def _image(job: Job, tree: str, note: Note, like: str) -> Note:
    """Bring the image and make it fit: the note of a tree that is ready for its first tick."""
    other_systems.write_note(tree, note)
    own_files.drop_state(tree)
    free = free_space.free(tree)
    try:
        meanwhile = (
            nullcontext() if note.update else early_overlays.fetching(job.base, job.declared, tree)
        )
        with meanwhile:
            stores.first_that_answers(
                job.settings, lambda store: _transfer(job, tree, note, like, store)
            )
        _check(tree, note.image)
        if like:
            own_files.keep(like, tree, (*own_files.KEEP, own_files.MIRROR))
        elif not note.update:
            own_files.give(job.base, job.declared, tree)
            early_overlays.take_over(job.base, job.declared, tree)
        own_files.identify(tree)
        own_files.settle(tree, settings_in_force.text_of(job.base))
        own_files.mount_points(tree)
        own_files.name_it(tree, job.declared, note.image)
        atomic.sync_filesystem(tree)
    except StateError as error:
        if isinstance(error, NotWritten):
            raise
        if not other_systems.in_place(job.declared, tree):
            tree_copies.discard(tree)  # what filled the disk of the base goes at once
        raise DiskFull(error, free) from error
    note = note._replace(phase=TICK)
    other_systems.write_note(tree, note)
    return note


def _transfer(job: Job, tree: str, note: Note, like: str, store: str) -> None:
    settings = job.settings
    # At the lowest priority the disk may keep it waiting: more patience than with overlays.
    stall = settings.stall * rsync.PATIENCE
    able = rsync.limited_to(tree, rsync.version(f"{job.base.state}/rsync"))
    reach = rsync.transport(store, stall)
    place = f"{other_systems.book(job.base, job.declared.name)}/progress"
    words, show = console.progress(f"{job.declared.name}: image {note.image}")
    limits = [f"--bwlimit={settings.bandwidth}"] if settings.bandwidth else []
    asks = signal.SIGVTALRM if image_fetch.tells_when_asked(able) and not show else 0
    steady = [*limits, *(words or ([] if asks else ["--info=progress2"]))]
    synced, moved, noted = time.monotonic(), console.Moved(), 0

    def follow(output: bytes) -> None:
        nonlocal synced, noted
        if moved.take(output) and moved.size >> 20 != noted:  # rsync may say it for every file
            noted = moved.size >> 20
            atomic.write(place, f"{noted}\n", durable=False)
        if show:
            show(output)
        if time.monotonic() - synced > _SYNC:
            atomic.sync_filesystem(tree)
            synced = time.monotonic()

    fresh = not note.update and other_systems.is_empty(tree)
    image_fetch.fetch(
        able,
        reach,
        store,
        note.image,
        tree,
        stall=stall,
        follow=follow,
        asks=asks,
        like=like,
        update=note.update,
        may_leave=note.update and not like,
        fresh=fresh,
        excluded=own_files.excluded(note.update),
        limits=[*steady, *([] if fresh else [rsync.BY_CONTENT])],
    )


def _check(tree: str, image: str) -> None:
    """What came must be a system: the disk of the store may not be mounted."""
    here = open_system.open_system(tree)
    if not gather_facts.os_release(here).id and not paths.Inside(tree).directory("bin").exists:
        raise StoreError(f"the image {image} is no system: it has neither os-release nor /bin")


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


def _show(part: str, root: str) -> None:
    """Let a complete system be seen, by one rename."""
    if os.path.isdir(root):
        os.rmdir(root)  # empty
    os.rename(part, root)
    atomic.sync_directory(os.path.dirname(root))
    other_systems.drop_note(root)
