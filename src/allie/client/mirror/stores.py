"""The stores of a PC: in which order they are tried, and where what is in one."""

from __future__ import annotations

import os
import time
from _collections_abc import Callable, Iterator

from allie.client.state import away_stores, host_names
from allie.core import digest, hosts
from allie.core.conf import addresses
from allie.core.conf.settings import PRIVATE, Settings
from allie.core.errors import StoreError, Unreachable
from allie.core.stubs import KIT
from allie.core.system import System
from allie.core.value import TYPE_CHECKING
from allie.machine.programs.process_groups import Bounds
from allie.machine.transfer import rsync

if TYPE_CHECKING:
    from typing import TypeVar

    Got = TypeVar("Got")

PATIENCE = 5  # times `stall`: for a listing, or a few small files


def first_that_answers(
    here: System, settings: Settings, work: Callable[[str], Got], *, anew: bool = False
) -> Got:
    """What `work` returns of the first store of which it does not raise StoreError.

    One that was away within an hour comes last. anew: it is asked in its turn all the same.
    Where all raise it: the last refusal, which says more than that a store is away.
    """
    trouble: StoreError | None = None
    order = in_own_order(settings)
    for store in order if anew else in_turn(here, settings):
        try:
            found = work(store)
        except StoreError as error:
            if isinstance(error, Unreachable):
                away_stores.failed(here, order, store, time.time())
            trouble = trouble if trouble and isinstance(error, Unreachable) else error
        else:
            away_stores.answered(here, order, store, time.time())
            return found
    assert trouble
    raise trouble


def in_turn(here: System, settings: Settings) -> list[str]:
    """The stores in the order in which they are asked now."""
    return away_stores.in_turn(here, in_own_order(settings), time.time())


def in_own_order(settings: Settings) -> list[str]:
    """The stores in this host's own order, so that a room of PCs spreads over the servers."""
    if len(settings.stores) == 1:
        return list(settings.stores)
    name = settings.host or os.uname().nodename
    return sorted(settings.stores, key=lambda store: digest.of(f"{name} {store}".encode()))


def overlay_path(settings: Settings, overlay: str) -> str:
    """Where an overlay stands in the store: its working tree, or the release of our ring."""
    if settings.ring and overlay != KIT:
        return f"releases/{overlay}/{settings.ring}/"
    return f"overlays/{overlay}"


def own_door(here: System, settings: Settings, *, had: bool) -> str:
    """The address that has what is this host's own: an ssh door, or a directory here; or "".

    had: it had something until now, so that a directory which is not there is missing.
    """
    missing = next(iter(_directories(settings)), "") if had else ""
    return settings.door or next(_with_place(here, settings, PRIVATE), missing)


def inbox(here: System, settings: Settings) -> str:
    """The address that takes this host's report: its own door, or a directory here; or ""."""
    return settings.door or next(_with_place(here, settings, "inbox"), "")


def inbox_at(here: System, settings: Settings, address: str) -> str:
    """An inbox's address as rsync has it."""
    host = "" if addresses.is_door(address) else f"{place_of(here, settings)}/"
    return rsync.sources(address, [f"inbox/{host}"])[0]


def _with_place(here: System, settings: Settings, module: str) -> Iterator[str]:
    """The stores that are directories here, and have this host's own place in a module."""
    there = _directories(settings)
    host = place_of(here, settings) if there else ""
    return (each for each in there if host and os.path.isdir(f"{each}/{module}/{host}"))


def _directories(settings: Settings) -> list[str]:
    return [each for each in settings.stores if each.startswith("/")]


def place_of(here: System, settings: Settings) -> str:
    """The name of this host's own places in a store; "" where it can have none."""
    host = host_names.of(here, settings.host)[0].lower()
    return host if hosts.is_name(host) else ""


def bounds(stall: int, disk: str = "") -> Bounds:
    """What a listing, or a few small files, may take. disk: where the files go, if any come."""
    return Bounds(stall, time.monotonic() + stall * PATIENCE, disk)


def reach(here: System, settings: Settings, store: str, stall: int = 0) -> list[str]:
    """rsync's options for a store; at an ssh door with what this host is known by, and knows.

    stall: where more patience is wanted than the settings have.
    """
    shell = ""
    if addresses.is_door(store):
        from allie.client.mirror import identity  # noqa: PLC0415 - see HACKING.md, start-up

        shell = identity.ready(here, settings, store).remote_shell(store)
    return rsync.transport(store, stall or settings.stall, shell)
