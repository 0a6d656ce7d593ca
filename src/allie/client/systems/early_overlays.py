"""Fetch a new system's overlays while its image comes, so that its first tick need not wait.

    image ─────────────┐
    overlays → client ─┴→ taken over → first tick

Beside the image, in a directory that rsync leaves alone: whatever the image has at var/lib is not
there yet. It is a help and no more: the first tick fetches what this did not bring, and tells what
is wrong with the store. It never writes into what the image brings, nor into a directory of that
name that it did not make: links in there could lead anywhere. Without it the first fetch of a
system would miss its budget, the time that rsync alone takes (bench/IMAGES.md).
"""

from __future__ import annotations

import os
from _collections_abc import Iterator
from contextlib import contextmanager

from allie.client.mirror import fetch
from allie.client.mirror import generation as generations
from allie.client.situation import other_systems, settings_in_force
from allie.client.situation.bound_disks import book
from allie.client.state import records
from allie.core import system
from allie.core.conf import settings as configuration
from allie.core.conf.settings import Declared
from allie.core.errors import StateError
from allie.core.system import System
from allie.machine.files import atomic, tree
from allie.machine.programs import process, process_groups
from allie.machine.roots import open_system

_TAKEN = ("mirror", "contact", records.OWN_CONTACT, "fetched", "rsync")


@contextmanager
def fetching(base: System, declared: Declared, new: str) -> Iterator[None]:
    """Have the overlays fetched by a process of its own, which has ended when the block has.

    It is waited for also where the image did not come: it has no more patience than that, and what
    it brings is there for the next try.
    """
    _have_place(base, declared, f"{new}/{other_systems.AHEAD}")
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    pid = process.fork(lambda: _fetch(base, declared, new), (null, null, null))
    try:
        os.close(null)
        yield
    except KeyboardInterrupt:
        process_groups.end(pid)
        raise
    finally:
        process.wait(pid)


def take_over(base: System, declared: Declared, new: str) -> None:
    """Make what was fetched the new system's own, unless it has a mirror from an earlier try."""
    here, there = _beside_the_image(base, declared, new), open_system.open_system(new)
    if generations.current(here) and not os.path.lexists(there.mirror):
        os.makedirs(there.state, 0o700, exist_ok=True)
        try:
            for name in _TAKEN:
                if os.path.lexists(f"{here.state}/{name}"):
                    os.rename(f"{here.state}/{name}", f"{there.state}/{name}")
        except OSError:
            pass  # the image has a disk of its own there: the first tick fetches
    tree.remove(here.state)
    atomic.remove(f"{book(base, declared.name)}/ahead")


def _have_place(base: System, declared: Declared, place: str) -> None:
    """Have the directory, of an earlier try or new; one that we did not make goes.

    Where the power goes before the note is on the disk, it goes as well.
    """
    note = f"{book(base, declared.name)}/ahead"
    present = tree.status(place)
    if present and atomic.read(note) == _mark(present):
        return
    try:
        tree.remove(place)
        os.mkdir(place, 0o700)
        atomic.write(note, _mark(os.lstat(place)), durable=False)
    except OSError as error:
        raise StateError(f"cannot make {place}: {error.strerror}") from error


def _mark(st: os.stat_result) -> str:
    return f"{st.st_dev}:{st.st_ino}\n"


def _beside_the_image(base: System, declared: Declared, new: str) -> System:
    """The new system, with its state where the image has nothing; as yet the PC is the base."""
    return base._replace(name=declared.name, state=f"{new}/{other_systems.AHEAD}", names=())


def _fetch(base: System, declared: Declared, new: str) -> int:
    """Fetch, and unpack the client that came: it is tried before it is placed."""
    here = _beside_the_image(base, declared, new)
    settings = configuration.parse(settings_in_force.text_of(base), declared.name)
    came = fetch.fetch(here, settings, routine=False).generation
    client = f"{came.path}/kit/{system.ARCHIVE}" if came else ""
    if os.path.isfile(client):
        from allie.machine.code import unpack  # noqa: PLC0415 - see HACKING.md, start-up

        unpack.unpack(client)
    return 0
