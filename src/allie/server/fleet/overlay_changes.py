"""When each overlay was last changed, by the server's clock.

That is the newest ctime in its tree: a file's mtime is what whoever made it says, its ctime is when
it came to stand there so. What leaves an overlay shows in the ctime of its directory.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from allie.core.conf.settings import PRIVATE
from allie.core.stubs import KIT
from allie.server import overlays, store
from allie.server.fleet.told import ToldSystem

COMMON = "common"
_OWN = f"{PRIVATE}/"


def named_by(system: ToldSystem) -> tuple[str, ...]:
    """The overlays that a system says it follows; else what one follows that was told nothing."""
    return system.overlays or (KIT, COMMON, system.image)


class OverlayChanges:
    """The overlays of a store. An overlay is looked at when it is first asked for."""

    def __init__(self, top: str) -> None:
        self._top = top
        self.shared = frozenset(store.overlays(top))
        self._private = frozenset(overlays.private(top))
        self.troubles: list[str] = []
        self.at: dict[str, float] = {name: self._newest(name) for name in sorted(self.shared)}

    def followed(self, host: str, system: ToldSystem) -> tuple[str, ...]:
        """The overlays of this store that a system follows."""
        said = named_by(system)
        names = [name for name in said if name in self.shared]
        if PRIVATE in said or system.own.server:
            names += overlays.private_of(host, self._private)
        return tuple(names)

    def last(self, names: Iterable[str]) -> float:
        """When one of these overlays was last changed; 0 of none."""
        found = 0.0
        for name in names:
            if name not in self.at:
                self.at[name] = self._newest(name)
            found = max(found, self.at[name])
        return found

    def before(self, names: Iterable[str], at: float) -> float:
        """The newest of these overlays' last changes that was not after a time; 0: none.

        What is a host's own is left out: it would set apart hosts that have the same otherwise.
        """
        found = 0.0
        for name in names:
            if found < self.at[name] <= at and not name.startswith(_OWN):
                found = self.at[name]
        return found

    def _newest(self, name: str) -> float:
        """The newest ctime in an overlay's tree."""
        pending = [f"{self._top}/{overlays.place(name)}"]
        newest = 0.0
        try:
            newest = os.lstat(pending[0]).st_ctime
            while pending:
                with os.scandir(pending.pop()) as found:
                    for each in found:
                        newest = max(newest, each.stat(follow_symlinks=False).st_ctime)
                        if each.is_dir(follow_symlinks=False):
                            pending.append(each.path)
        except FileNotFoundError:
            pass  # it is being changed just now
        except OSError as error:
            self.troubles.append(f"{overlays.place(name)} cannot be looked at: {error.strerror}")
        return newest
