"""What a peer is, and where one works. peers.py has the peers themselves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Callable

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Site:
    """Where one peer works, with one overlay."""

    root: Path  # the PC's root
    state: Path  # the peer's own files
    store: Path
    source: Path  # the resolved tree
    plain_port: int
    allie_port: int
    door_port: int = 0  # of the store's ssh door


Argv = Callable[[Site], list[str]]


def _nothing(_: Site) -> None:
    pass


def _no_settings(_: Site) -> dict[str, str]:
    return {}


@dataclass(frozen=True)
class Peer:
    name: str
    tick: Argv
    needs: str  # the program without which it is not installed
    version: tuple[str, ...]
    first: Argv | None = None  # on a fresh root, where it differs from the tick
    prepare: Callable[[Site], None] = _nothing  # before a first run; not measured
    settings: Callable[[Site], dict[str, str]] = _no_settings  # in its environment
    package: str = ""  # the Debian package that brings it
    result: str = "resolved"  # what it leaves in the root: resolved, raw (with the tags) or nothing
    living: bool = False  # runs in the PC's root: chooses variants itself and runs the conf scripts
    ours: bool = False  # is ALLiE, and takes updates of it
    siblings: tuple[str, ...] = ()  # other systems in its root, which it ticks, too

    def argv(self, site: Site, case: str) -> list[str]:
        return self.first(site) if self.first and case == "first" else self.tick(site)

    def environment(self, site: Site) -> dict[str, str]:
        home = "/root" if self.living else str(site.state)
        return {"PATH": PATH, "HOME": home, "LANG": "C.UTF-8", **self.settings(site)}
