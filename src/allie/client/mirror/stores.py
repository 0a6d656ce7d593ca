"""What a store has, asked by rsync's listings."""

from __future__ import annotations

import time

from allie.core.conf import settings as configuration
from allie.core.errors import StoreError, Unreachable, did_you_mean
from allie.core.stubs import KIT
from allie.machine.programs import process
from allie.machine.programs.process import Finished
from allie.machine.programs.process_groups import Bounds
from allie.machine.transfer import rsync

_NO_STORE = "`allie store init`, on the server, makes one; is its address right?"
_ASKING = 300  # seconds for a listing


def overlays_of(
    store: str, image: str, wanted: tuple[str, ...] = (), ring: str = ""
) -> tuple[str, ...]:
    """The overlays that are wanted; else of kit, common and the image's own those that are there.

    The store is asked in any case. Raises StoreError where it does not answer, or lacks one; what
    has been released to a ring lies elsewhere, and is not looked for.
    """
    asked = _ask(store, "overlays/")
    try:
        rsync.check(asked, store)
    except Unreachable:
        raise
    except StoreError as error:
        raise StoreError(f"{store} is no store: {error.message}", _NO_STORE) from error
    there = rsync.parse_listing(asked.out)
    if KIT not in there:
        raise StoreError(f"{store} has no overlay {KIT}", "run `allie store init` on the server")
    for name in wanted if not ring else ():
        if name not in there:
            hint = did_you_mean(name, there) or f"it has: {', '.join(sorted(there))}"
            raise StoreError(f"{store} has no overlay {name}", hint)
    return wanted or tuple(name for name in (KIT, "common", image) if name in there)


def need_image(store: str, image: str) -> None:
    """Raise StoreError where the store has no image of this name, or does not answer."""
    asked = _ask(store, "images/")
    rsync.check(asked, store)
    there = rsync.parse_listing(asked.out)
    if image not in there:
        hint = did_you_mean(image, there) or "allie image list, on the server"
        raise StoreError(f"{store} has no image {image}", hint)


def has(store: str, path: str) -> bool:
    """Whether a store has a file or directory. Raises StoreError if it does not answer."""
    asked = _ask(store, path)
    if asked.code == rsync.PARTIAL:
        return False
    rsync.check(asked, store)
    return True


def _ask(store: str, path: str) -> Finished:
    """Have rsync list a path."""
    argv = rsync.list_only(store, path, configuration.DEFAULT_STALL)
    until = time.monotonic() + _ASKING
    return process.run(argv, bounds=Bounds(configuration.DEFAULT_STALL, until))
