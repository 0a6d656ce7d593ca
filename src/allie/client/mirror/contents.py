"""What a store has: its overlays and images, and single files.

Only who joins, installs or is in doubt asks for that; a tick asks for what is new (`fetch`).
"""

from __future__ import annotations

from _collections_abc import Iterable

from allie.client.mirror import stores
from allie.core.change.resolution import CONSENT
from allie.core.conf.settings import Settings
from allie.core.errors import NotAdmitted, StateError, StoreError, Unreachable, did_you_mean
from allie.core.stubs import KIT
from allie.core.system import System
from allie.machine.programs import process
from allie.machine.programs.process import Finished
from allie.machine.transfer import listing, rsync

_NO_STORE = "`allie store init`, on the server, makes one; is its address right?"


def overlays_of(here: System, settings: Settings, wanted: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The overlays that are wanted; else of kit, common and the image's own those that are there.

    The first store is asked in any case. Raises StoreError where it does not answer, or lacks one;
    what has been released to a ring lies elsewhere, and is not looked for.
    """
    store = settings.stores[0]
    asked = _listed(here, settings, store, "overlays/")
    try:
        rsync.check(asked, store)
    except (Unreachable, NotAdmitted):
        raise
    except StoreError as error:
        raise StoreError(f"{store} is no store: {error.message}", _NO_STORE) from error
    there = listing.parse(asked.out)
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
    asked = _listed(here, settings, store, "images/")
    rsync.check(asked, store)
    there = listing.parse(asked.out)
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


def _listed(here: System, settings: Settings, store: str, path: str) -> Finished:
    """Have rsync list a path."""
    argv = listing.of(store, path, stores.reach(here, settings, store))
    return process.run(argv, bounds=stores.bounds(settings.stall), only_reads=True)
