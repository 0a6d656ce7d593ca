"""The stores of a PC: in which order they are tried, where what is in one, and what it has."""

from __future__ import annotations

import os
import time
from _collections_abc import Callable, Iterable, Iterator

from allie.client.state import away_stores, host_names
from allie.core import digest, hosts
from allie.core.change.resolution import CONSENT
from allie.core.conf import addresses
from allie.core.conf.settings import PRIVATE, Settings
from allie.core.errors import NotAdmitted, StateError, StoreError, Unreachable, did_you_mean
from allie.core.stubs import KIT
from allie.core.system import System
from allie.core.value import TYPE_CHECKING
from allie.machine.programs import pipes, process
from allie.machine.programs.process import Finished
from allie.machine.programs.process_groups import Bounds
from allie.machine.transfer import rsync

if TYPE_CHECKING:
    from typing import TypeVar

    Got = TypeVar("Got")

_NO_STORE = "`allie store init`, on the server, makes one; is its address right?"
PATIENCE = 5  # times `stall`: for a listing, or a few small files
_MOST_LISTED = 200_000


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


def _with_place(here: System, settings: Settings, module: str) -> Iterator[str]:
    """The stores that are directories here, and have this host's own place in a module."""
    there = _directories(settings)
    host = place_of(here, settings) if there else ""
    return (each for each in there if host and os.path.isdir(f"{each}/{module}/{host}"))


def _directories(settings: Settings) -> list[str]:
    return [each for each in settings.stores if each.startswith("/")]


def inbox_at(here: System, settings: Settings, address: str) -> str:
    """The same, as rsync has it."""
    host = "" if addresses.is_door(address) else f"{place_of(here, settings)}/"
    return rsync.sources(address, [f"inbox/{host}"])[0]


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


def overlays_of(here: System, settings: Settings, wanted: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The overlays that are wanted; else of kit, common and the image's own those that are there.

    The first store is asked in any case. Raises StoreError where it does not answer, or lacks one;
    what has been released to a ring lies elsewhere, and is not looked for.
    """
    store = settings.stores[0]
    looked_for = (KIT, *(() if settings.ring else wanted)) if wanted else ()
    try:
        there = _listing(here, settings, "overlays/", looked_for)
    except (Unreachable, NotAdmitted):
        raise
    except StoreError as error:
        raise StoreError(f"{store} is no store: {error.message}", _NO_STORE) from error
    if KIT not in there:
        raise StoreError(f"{store} has no overlay {KIT}", "run `allie store init` on the server")
    for name in wanted if not settings.ring else ():
        if name not in there:
            hint = did_you_mean(name, there) or f"it has: {', '.join(sorted(there))}"
            raise StoreError(f"{store} has no overlay {name}", hint)
    return wanted or tuple(name for name in (KIT, "common", settings.image) if name in there)


def need_image(here: System, settings: Settings, image: str) -> None:
    """Raise StoreError where the first store has no image of this name, or does not answer."""
    store = settings.stores[0]
    there = _listing(here, settings, "images/", (image,))
    if image not in there:
        hint = did_you_mean(image, there) or "allie image list, on the server"
        raise StoreError(f"{store} has no image {image}", hint)


def has(here: System, settings: Settings, store: str, path: str) -> bool:
    """Whether a store has a file or directory. Raises StoreError if it does not answer."""
    asked = _ask(here, settings, store, path)
    if asked.code == rsync.PARTIAL:
        return False
    rsync.check(asked, store)
    return True


def consents(here: System, settings: Settings, names: Iterable[str]) -> frozenset[str]:
    """Which of some overlays, that are not on the list, the store says may be withdrawn."""
    return frozenset(name for name in names if _has_consent(here, settings, name))


def _has_consent(here: System, settings: Settings, overlay: str) -> bool:
    path = f"overlays/{overlay}/{CONSENT}"
    try:
        return first_that_answers(here, settings, lambda store: has(here, settings, store, path))
    except (StoreError, StateError):
        return False


def _listing(here: System, settings: Settings, path: str, wanted: tuple[str, ...]) -> list[str]:
    """The directories below a path of the first store, up to the last of those that are wanted.

    rsync is not waited for then: it sleeps for 20 ms before it ends. Raises StoreError.
    """
    store, left = settings.stores[0], set(wanted)
    found: list[str] = []

    def take(lines: bytes) -> bool:
        names = rsync.parse_listing(lines)
        found.extend(names)
        if len(found) > _MOST_LISTED:
            words = f"{store} lists more than {_MOST_LISTED:,} names in {path}"
            raise StoreError(words, "look at what it serves")
        left.difference_update(names)
        return bool(wanted) and not left

    argv, limit = rsync.list_only(store, path, reach(here, settings, store)), bounds(settings.stall)
    done = process.run(argv, bounds=limit, on_output=pipes.by_line(take), only_reads=True)
    if left or not wanted:
        rsync.check(done, store)
    return found


def _ask(here: System, settings: Settings, store: str, path: str) -> Finished:
    """Have rsync list a path."""
    argv = rsync.list_only(store, path, reach(here, settings, store))
    return process.run(argv, bounds=bounds(settings.stall), only_reads=True)
