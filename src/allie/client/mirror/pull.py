"""One store, and how it is spoken to; every rsync that asks a store or fetches runs here."""

from __future__ import annotations

import os
from _collections_abc import Callable

from allie.client.mirror import generation as generations
from allie.client.mirror import stores
from allie.client.mirror.generation import Generation
from allie.client.state import quick_files, quick_tick
from allie.core.conf.settings import Settings
from allie.core.system import System
from allie.core.value import Value
from allie.machine import console
from allie.machine.programs import process
from allie.machine.programs.process import Finished
from allie.machine.programs.process_groups import MUCH, Bounds
from allie.machine.transfer import rsync
from allie.machine.transfer.rsync import Version


class Pull(Value):
    """One store that is to bring what we lack, and how it is spoken to."""

    here: System
    settings: Settings
    before: Generation | None  # the generation in force
    store: str
    routine: bool  # do not ask after ACLs and attributes
    able: Version
    options: list[str]  # rsync's
    until: float = 0.0  # time.monotonic
    lagging: bool = False  # it stands in for the one that answered last, which may be newer
    overlays: tuple[str, ...] = ()  # of the generation to come, in order

    @property
    def asks_for(self) -> Version:
        """What a question is to compare."""
        return self.able.plain if self.routine else self.able

    @property
    def asks_for_gone(self) -> bool:
        """Whether a question names what is gone; else, once that is settled, directories' times."""
        times_tell = self.routine and rsync.EXACT in self.options
        return not (times_tell and self.before and generations.is_settled(self.before))


class Private(Value):
    """The tree of what is this host's own that the generation to come is to have."""

    tree: str = ""  # where it is; "": there is none
    is_new: bool = False  # it was fetched just now (client.mirror.own_door)


def carry(here: System, tree: str, into: str) -> None:
    """Make a tree that was fetched an overlay of a generation, too: its files are links."""
    note = f"{here.state}/rsync"
    able = rsync.version(note, limited=True)
    os.mkdir(into, 0o700)
    argv = rsync.fetch(able, rsync.exact_times(able, note), [f"{tree}/"], into, [tree])
    process.run(argv, check=True)


def of(
    here: System, settings: Settings, before: Generation | None, store: str, *, routine: bool
) -> Pull:
    """How a store is spoken to. Raises StoreError, StateError where it cannot be."""
    able = rsync.version(f"{here.state}/rsync", limited=True)
    options = stores.reach(here, settings, store)
    options += rsync.exact_times(able, f"{here.state}/rsync")
    return Pull(here, settings, before, store, routine, able, options, overlays=settings.overlays)


def progress(pull: Pull) -> tuple[list[str], Callable[[bytes], None] | None]:
    """What has rsync tell how far it is, and what shows that, where somebody watches."""
    return console.progress(f"{pull.here.name or pull.here.root}: overlays")


def run(
    argv: list[str],
    pull: Pull,
    *,
    show: Callable[[bytes], None] | None = None,
    names: bytes = b"",
    only_reads: bool = False,
    disk: str = "",
) -> Finished:
    """One rsync; a store that changes under our hands is asked a second time.

    only_reads: then too long an answer is the caller's to handle.
    """
    bounds = Bounds(pull.settings.stall, pull.until, disk)
    asked = (pull.here.root, *quick_files.question(argv[1:], pull.here.state))

    def once() -> Finished:
        if asked in quick_tick.answers:  # a moment ago
            return Finished(tuple(argv), *quick_tick.answers.pop(asked))
        harmless = only_reads or bool(names)
        return process.run(argv, stdin=names, bounds=bounds, on_output=show, only_reads=harmless)

    done = once()
    if rsync.may_settle(done):
        done = once()
    if not (only_reads and done.cut and done.cut.kind == MUCH):
        rsync.check(done, pull.store)
    return done
