"""What the base notes of each of its other systems: who works on it, and how the last try went.

A system's record is a directory of the base's state (`bound_disks.book`). It is also its lock:
whoever fetches, updates, rolls back or removes the system holds it.

    root       where the system lives, for when allie.conf does not name it any more
    trouble    why the last try failed; progress: how much of its image came in this one
    held       no lock: the image that was rolled back from, to which no tick goes by itself
    tick       why a tick of it could not even begin (`bring_and_tick`)
    ahead      which directory has its early overlays (`early_overlays`)
"""

from __future__ import annotations

import json
from _collections_abc import Iterator
from contextlib import contextmanager

from allie.client.situation.bound_disks import book
from allie.client.state import records
from allie.core.conf.settings import Declared
from allie.core.errors import AllieError, Busy, DiskFull, StateError, Unreachable, UsageError
from allie.core.system import System
from allie.core.value import Value
from allie.machine import console
from allie.machine.files import atomic, lock, tree

_ROLLED_BACK = "held"  # a file, and no lock: PCs have it under this name


class Trouble(Value):
    """How the last try to fetch or update a system failed."""

    message: str = ""  # "" if it did not
    away: bool = False  # the store just did not answer
    image: str = ""  # that filled the disk; "" if none did
    free: float = 0.0  # bytes that were free then
    free_names: float = 0.0  # and inodes


@contextmanager
def held(base: System, name: str) -> Iterator[None]:
    """Hold a system's lock. Raises Busy."""
    busy = Busy(f"{name} is being fetched or updated already", "allie system list")
    with lock.of_directory(book(base, name), lambda: busy):
        yield


def is_held(base: System, name: str) -> bool:
    """Whether a system is being fetched, updated or removed now."""
    return lock.is_taken(f"{base.systems}/{name}")


@contextmanager
def noting_trouble(base: System, name: str) -> Iterator[None]:
    """Keep what went wrong for `system list` and the next tick; forget it when all went well."""
    place = book(base, name)
    try:
        yield
    except UsageError:
        raise  # somebody's slip at the keyboard
    except (AllieError, OSError) as error:
        found = Trouble(str(error), isinstance(error, Unreachable))
        if isinstance(error, DiskFull):
            found = found._replace(image=error.image, free=error.free, free_names=error.free_names)
        try:
            atomic.write(f"{place}/trouble", json.dumps(found._asdict()))
        except StateError:
            pass  # the disk is what is wrong
        raise
    else:
        atomic.remove(f"{place}/trouble")
    finally:
        atomic.remove(f"{place}/progress")


def trouble(base: System, name: str) -> Trouble:
    """What is noted of the last try."""
    value = records.read_json(f"{base.systems}/{name}/trouble")
    known = value if isinstance(value, dict) else {}
    message, image = (str(known.get(each, "")) for each in ("message", "image"))
    free, free_names = (float(known.get(each, 0)) for each in ("free", "free_names"))
    return Trouble(message, bool(known.get("away")), image, free, free_names)


class Progress:
    """How much of an image has come: shown on a terminal, and noted for `system list`."""

    def __init__(self, base: System, name: str, image: str) -> None:
        self.options, self._show = console.progress(f"{name}: image {image}")
        self._place = f"{book(base, name)}/progress"
        self._moved, self._noted = console.Moved(), 0

    def follow(self, output: bytes) -> None:
        """Take in some of what rsync prints; it may say its progress for every file."""
        if self._moved.take(output) and self._moved.size >> 20 != self._noted:
            self._noted = self._moved.size >> 20
            atomic.write(self._place, f"{self._noted}\n", durable=False)
        if self._show:
            self._show(output)


def progress(base: System, name: str) -> str:
    """How much came in this try, in words; "" if nobody knows. Of how much, rsync learns later."""
    size = (atomic.read(f"{base.systems}/{name}/progress") or "").strip()
    return f"{size} MiB so far" if size else ""


def arriving(base: System, name: str) -> str:
    """How far the fetch or update of a system is that goes on now, in words; "" if none does."""
    if not is_held(base, name):
        return ""
    share = progress(base, name)
    return f"being fetched, {share}" if share else "being fetched"


def image_rolled_back(base: System, name: str) -> str:
    """The image that somebody rolled back from, and that no update brought since; "" if none."""
    return (atomic.read(f"{base.systems}/{name}/{_ROLLED_BACK}") or "").strip()


def note_rolled_back(base: System, name: str, image: str) -> None:
    """Note that; "" forgets it."""
    place = f"{book(base, name)}/{_ROLLED_BACK}"
    if image:
        atomic.write(place, f"{image}\n")
    else:
        atomic.remove(place)


def note_place(base: System, declared: Declared) -> None:
    """Note where a system lives."""
    atomic.renew(f"{book(base, declared.name)}/root", f"{declared.root}\n", durable=False)


def noted(base: System) -> list[Declared]:
    """The systems that this PC ever looked after, each where it was last."""
    found = []
    for name in sorted(tree.names(base.systems)):
        if not name.startswith("."):
            place = (atomic.read(f"{base.systems}/{name}/root") or "").strip()
            found.append(Declared(name, place or f"/systems/{name}"))
    return found
