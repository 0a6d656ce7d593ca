"""Ask whether a system is as the store has its image, before anything is made for an update.

    rsync -n, itemised → what is this PC's own set aside → pristine files

It changes nothing. What ALLiE placed is no difference, so long as what stood there before is still
the image's; neither are logs, caches and temporary files. The first real difference ends the
question: an update that has work to do pays next to nothing for it. rsync does not say that two
names of one file here are two equal files in the image: that alone is no difference.
"""

from __future__ import annotations

import os
from _collections_abc import Iterator, Mapping
from contextlib import contextmanager

from allie.client.mirror import stores
from allie.client.state import records
from allie.client.systems import new_system, own_files
from allie.client.systems.new_system import Job
from allie.core.boot import fstab
from allie.core.change.ledger import NOTHING, UNKNOWN, Placed
from allie.core.system import System
from allie.machine.files import atomic, tree
from allie.machine.programs import pipes, process
from allie.machine.programs.process_groups import Bounds
from allie.machine.roots import open_system
from allie.machine.transfer import image_compare, rsync

# What comes and goes in any system; an update brings it, but is not made for it
_PASSING = ("tmp/*", "var/tmp/*", "var/cache/*", "var/log/*", "etc/resolv.conf")
_LEFT_OUT = (*own_files.NEVER, *own_files.KEEP, *_PASSING)


def holds(job: Job, root: str, *, quick: bool = False) -> bool:
    """Whether a system is as the store has its image. Raises StoreError, Unreachable.

    quick: a file of the same size and time is the same; else contents are compared.
    """

    def ask(store: str) -> bool:
        options = [] if quick else [rsync.BY_CONTENT]
        return _Question(job, root, store, options).answer()

    return stores.first_that_answers(job.base, job.settings, ask)


class _Question:
    """One system and one store; what the store's answer has said so far."""

    def __init__(self, job: Job, root: str, store: str, options: list[str]) -> None:
        self.root, self.store = root, store
        self.here = open_system.open_system(root)
        self.placed: Mapping[str, Placed] = records.load_ledger(self.here).entries
        self.left_out = own_files.in_root(root, _LEFT_OUT)
        self.own = _own_directories(root, self.left_out)
        self.what = new_system.way(job, root, store)._replace(options=options)
        self.bounds = Bounds(job.stall)
        self.differs = False
        self.has: set[str] = set()  # of what ALLiE placed, what the image has, too

    def answer(self) -> bool:
        """Whether nothing differs."""
        excluded = [f"/{path}" for path in self.left_out]
        argv = image_compare.whole(self.what._replace(excluded=excluded))
        lines = pipes.by_line(self._follow)
        done = process.run(argv, bounds=self.bounds, on_output=lines, only_reads=True)
        if self.differs:
            return False
        rsync.check(done, self.store)
        return self._pristine_is_the_images()

    def _follow(self, lines: bytes) -> bool:
        """Take in what rsync prints; whether that was enough."""
        for each in map(image_compare.parse, lines.split(b"\n")):
            if each is None:
                continue
            if each.name in self.placed:
                if not each.gone:
                    self.has.add(each.name)
                continue
            if each.differs and not (each.gone and each.name in self.own):
                self.differs = True
                return True
        return False

    def _pristine_is_the_images(self) -> bool:
        """Whether what stood where ALLiE placed something is what the image has there."""
        kept = {}
        begins = tuple(path[:-1] if path[-1] == "*" else path + "/" for path in self.left_out)
        for real, placed in self.placed.items():
            if f"{real}/".startswith(begins):  # of what is not asked for
                continue
            has = real in self.has
            if placed.pristine in (NOTHING, UNKNOWN):
                if has:
                    return False
                continue
            kept[real] = f"{self.here.pristine}/{placed.pristine}"
            st = tree.status(kept[real])
            if not has or st is None or tree.is_directory(st):
                return False
        if not kept:
            return True
        with _laid_out(self.here, kept) as laid:
            argv, names = image_compare.some(self.what._replace(into=laid)), rsync.names(list(kept))
            done = process.run(argv, stdin=names, bounds=self.bounds, only_reads=True)
        rsync.check(done, self.store)
        return not any(map(image_compare.parse, done.out.splitlines()))


@contextmanager
def _laid_out(here: System, kept: Mapping[str, str]) -> Iterator[str]:
    """Pristine files under their real paths, as hard links."""
    top = f"{here.state}/pristine.ask"
    tree.remove(top)
    try:
        for real, path in kept.items():
            os.makedirs(os.path.dirname(f"{top}/{real}"), 0o700, exist_ok=True)
            os.link(path, f"{top}/{real}", follow_symlinks=False)
        yield top
    finally:
        tree.remove(top)


def _own_directories(root: str, left_out: list[str]) -> set[str]:
    """Directories that a system has besides its image's: around what is its own, mount points."""
    table = atomic.read(f"{root}/etc/fstab") or ""
    points = [fstab.FstabLine(line).point.strip("/") for line in table.splitlines()]
    found = set()
    for path in [*left_out, *(f"{point}/" for point in points)]:
        while "/" in path:
            path = path.rpartition("/")[0]
            found.add(path)
    return found
