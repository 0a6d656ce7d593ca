"""The other systems of a PC: where each one lives, and how it stands.

A tree is a complete system if its /etc/allie/system says which, and no *note* of a fetch is in it.
The note is there from a fetch's beginning to its end, so that a killed one goes on where it was,
and so that nothing foreign is ever taken for a fetch of ours.

docs/internals/rules.md, "A root says itself which system it is".
"""

from __future__ import annotations

import json
import os
from _collections_abc import Iterator
from contextlib import ExitStack, contextmanager

from allie.client.situation import bound_disks
from allie.core.conf import system_roots
from allie.core.conf.settings import Declared, Settings
from allie.core.errors import PathRefused, StateError, UsageError, did_you_mean
from allie.core.system import System
from allie.core.value import Value
from allie.machine.disk import file_systems
from allie.machine.files import atomic
from allie.machine.mounts import mount_table
from allie.machine.roots import open_system, paths

NOTE = system_roots.NOTE
AHEAD = ".allie-ahead"  # at the top of a tree in the making: its overlays, before they are in place
MISSING, PARTIAL, THERE, FOREIGN = "missing", "partial", "there", "foreign"
IMAGE, TICK, READY = "image", "tick", "ready"  # what a fetch is at
_OURS = (NOTE, AHEAD, "lost+found")  # what an empty file system may hold
_IMAGE_FILE = "image"  # in a system's state: the image that its tree came from


class Note(Value):
    """How far a fetch has come."""

    system: str
    image: str
    phase: str
    update: bool = False  # the tree was this system before: what is its own in it stays
    unsynced: bool = False  # it may not be on the disk: only who is at it goes on from here


def find(settings: Settings, name: str) -> Declared:
    """The declared system of this name, with a place to live. Raises UsageError."""
    if name == settings.system:
        raise UsageError(f"{name} is the system that runs now", "leave out --system")
    for each in settings.others:
        if each.name == name:
            if not each.root:
                raise UsageError(f"[system {name}] of allie.conf names no root", "root = LABEL=…")
            return each
    names = [each.name for each in settings.others]
    hint = did_you_mean(name, names) or f"it has: {', '.join(names) or 'none'}"
    raise UsageError(f"allie.conf declares no system {name}", hint)


def directory_of(base: System, declared: Declared) -> str:
    """Where a system that lives in a directory does, as a real path. Raises PathRefused."""
    place = paths.Inside(base.root).directory(declared.root.lstrip("/"))
    return base.at(place.real)


@contextmanager
def opened(base: System, declared: Declared) -> Iterator[str]:
    """The root of a system, mounted for us alone if it is a partition. It may not be there yet.

    Raises StateError where no partition has the label, or the one that has it is not known to be
    this PC's own (`bound_disks`), or it is the system that runs.
    """
    with ExitStack() as stack:
        if declared.is_partition:
            at = f"{base.run}/roots/{declared.name}"
            mounted = bound_disks.mounted(base, declared, at, file_systems.AS_SYSTEM)
            root = stack.enter_context(mounted)
        else:
            root = directory_of(base, declared)
        _refuse_running_system(base, declared, root)
        yield root


def standing(declared: Declared, root: str) -> tuple[str, str]:
    """How a system stands: (MISSING, PARTIAL, THERE or FOREIGN, why)."""
    if not os.path.lexists(root):
        return MISSING, "nothing was brought yet"
    if not os.path.isdir(root):
        return FOREIGN, f"{root} is no directory"
    note = note_of(root)
    if note and note.phase != READY:
        return PARTIAL, f"being fetched: {note.image}"
    name = name_in(root)
    if name == declared.name:
        return THERE, ""
    if name:
        return FOREIGN, f"{declared.root} holds the system {name}"
    if is_empty(root):
        return MISSING, "empty"
    return FOREIGN, f"{declared.root} holds something that is no system of ALLiE's"


def need_free_place(declared: Declared, root: str) -> None:
    """Raise StateError where something else stands in the place of a system."""
    stands, why = standing(declared, root)
    if stands == FOREIGN:
        raise StateError(why, f"empty it, or correct [system {declared.name}]")


def is_empty(root: str) -> bool:
    """Whether a tree holds no more than our own files; a link by the name of one is foreign."""
    names = os.listdir(root)
    return set(names) <= set(_OURS) and not any(os.path.islink(f"{root}/{each}") for each in names)


def in_place(declared: Declared, root: str) -> bool:
    """Whether a system must be fetched where it will be: no rename can bring it there."""
    return declared.is_partition or root in mount_table.points()


def beside(root: str, which: str) -> str:
    """The other trees of a system in a directory: `part` in the making, `other` to go back to."""
    above, _, name = root.rpartition("/")
    return f"{above}/.{name}.{which}"


def name_in(root: str) -> str:
    """The name of the system that a tree is; "" if it is none."""
    try:
        return open_system.open_system(root).name
    except (StateError, PathRefused):
        return ""


def image_of(root: str) -> str:
    """The image that a tree was fetched from; "" if it was not fetched."""
    here = open_system.open_system(root)
    return (atomic.read(f"{here.state}/{_IMAGE_FILE}") or "").strip()


def record_image(root: str, image: str) -> None:
    """Note in a tree which image it came from."""
    here = open_system.open_system(root)
    os.makedirs(here.state, 0o700, exist_ok=True)
    atomic.write(f"{here.state}/{_IMAGE_FILE}", image + "\n")


def note_of(root: str) -> Note | None:
    """The note of the fetch that makes a tree; None if none does."""
    text = atomic.read(f"{root}/{NOTE}")
    if text is None:
        return None
    try:
        value = json.loads(text)
        return Note(**{name: value[name] for name in Note._fields if name in value})
    except (ValueError, TypeError):
        return Note("", "", IMAGE, unsynced=True)  # cut short: all of it is looked at again


def write_note(root: str, note: Note, *, durable: bool = True) -> None:
    """Say in a tree how far its fetch has come."""
    atomic.write(f"{root}/{NOTE}", json.dumps(note._asdict()), 0o600, durable=durable)


def drop_note(root: str) -> None:
    """The tree is a system from now on."""
    if atomic.remove(f"{root}/{NOTE}"):
        atomic.sync_directory(root)


def _refuse_running_system(base: System, declared: Declared, root: str) -> None:
    """The running system is never its own sibling, whatever allie.conf calls it."""
    if not os.path.isdir(root):
        return
    if any(os.path.samefile(running, root) for running in (base.root, "/")):
        words = f"{declared.root} is the system that runs now, not {declared.name}"
        raise StateError(words, f"correct [system {declared.name}] in allie.conf")
