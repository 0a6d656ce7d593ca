"""What a store has: its overlays and images, and single files.

Only who joins, installs or is in doubt asks for that; a tick asks for what is new (`fetch`).
"""

from __future__ import annotations

from _collections_abc import Callable, Iterable

from allie.client.mirror import stores
from allie.core.change.resolution import CONSENT
from allie.core.conf.settings import Settings
from allie.core.errors import NotAdmitted, StateError, StoreError, Unreachable, did_you_mean
from allie.core.stubs import KIT
from allie.core.system import System
from allie.machine.programs import pipes, process
from allie.machine.programs.process import Finished
from allie.machine.transfer import listing, rsync

_NO_STORE = "`allie store init`, on the server, makes one; is its address right?"
_MOST = 200_000  # names in a listing


def overlays_of(here: System, settings: Settings, wanted: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The overlays that are wanted; else of kit, common and the image's own those that are there.

    The first store is asked in any case. Raises StoreError where it does not answer, or lacks one;
    what has been released to a ring lies elsewhere, and is not looked for.
    """
    store = settings.stores[0]
    looked_for = (KIT, *(() if settings.ring else wanted)) if wanted else ()
    try:
        there = _names(here, settings, "overlays/", looked_for)
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
    there = _names(here, settings, "images/", (image,))
    if image not in there:
        hint = did_you_mean(image, there) or "allie image list, on the server"
        raise StoreError(f"{store} has no image {image}", hint)


def has(here: System, settings: Settings, store: str, path: str) -> bool:
    """Whether a store has a file or directory. Raises StoreError if it does not answer."""
    asked = _listed(here, settings, store, path)
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
        return stores.first_that_answers(
            here, settings, lambda store: has(here, settings, store, path)
        )
    except (StoreError, StateError):
        return False


def _names(here: System, settings: Settings, path: str, wanted: tuple[str, ...]) -> list[str]:
    """The directories below a path of the first store, up to the last of those that are wanted.

    rsync is not waited for then: it sleeps for 20 ms before it ends. Raises StoreError.
    """
    store, left = settings.stores[0], set(wanted)
    found: list[str] = []

    def take(lines: bytes) -> bool:
        names = listing.parse(lines)
        found.extend(names)
        if len(found) > _MOST:
            words = f"{store} lists more than {_MOST:,} names in {path}"
            raise StoreError(words, "look at what it serves")
        left.difference_update(names)
        return bool(wanted) and not left

    done = _listed(here, settings, store, path, pipes.by_line(take))
    if left or not wanted:
        rsync.check(done, store)
    return found


def _listed(
    here: System,
    settings: Settings,
    store: str,
    path: str,
    on_output: Callable[[bytes], bool | None] | None = None,
) -> Finished:
    """Have rsync list a path. on_output: as for `process.run`."""
    argv = listing.of(store, path, stores.reach(here, settings, store))
    bounds = stores.bounds(settings.stall)
    return process.run(argv, bounds=bounds, on_output=on_output, only_reads=True)
