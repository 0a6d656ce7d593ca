"""Join: make a system follow a store; from then on it looks after itself."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from allie.client import generation as generations
from allie.client import grounds, identity, timer
from allie.core import rendering, system
from allie.core import settings as configuration
from allie.core.errors import (
    SettingsError,
    StateError,
    StoreError,
    Unreachable,
    UsageError,
    did_you_mean,
)
from allie.core.report import Report
from allie.core.settings import Settings
from allie.core.stubs import KIT
from allie.core.system import System
from allie.core.value import Value
from allie.machine import atomic, locate, paths, process, rsync, within
from allie.machine.groups import Bounds
from allie.machine.process import Finished

_ZIP = b"PK\x03\x04"  # in the client's archive, after its first line
_NO_STORE = "`allie store init`, on the server, makes one; is its address right?"
_ASKING = 300  # seconds for a listing


class Wishes(Value):
    """What the administrator says; "" or empty: found out."""

    store: str
    system: str = ""
    image: str = ""
    overlays: tuple[str, ...] = ()
    host: str = ""
    ring: str = ""
    timer: bool = True


class Joined(Value):
    """What join did."""

    report: Report  # of the first tick
    ticks: str  # how further ones are started, in words


def join(here: System, wishes: Wishes, first_tick: Callable[[System], Report]) -> Joined:
    """Write the settings, run the first tick, which installs the kit, and switch the timer on.

    Done again with the same wishes it changes nothing. Raises UsageError where the root already is
    another system, StoreError (nothing is written) where the store does not answer.
    """
    if os.geteuid() != 0:
        raise UsageError("join must be run as root")
    configuration.check_store(wishes.store)
    image = wishes.image or here.name or default_image(here)
    name = configuration.check_name(wishes.system or here.name or image, "system")
    if here.name and here.name != name:
        raise UsageError(f"{here.root} is the system {here.name} already", f"--system {here.name}")
    wanted = rendering.render(_settings(here, name, image, wishes))
    settings = configuration.parse(wanted, name)  # kit is in it, also where it was not wished for
    _write(here, settings)
    _keep_servers_command(here)
    here = locate.open_system(here.root)
    report = first_tick(here)
    if not os.path.exists(f"{here.conf}/run-conf"):
        whys = [f"{each.name}: {each.last}" for each in report.scripts if each.state == "failing"]
        whys = [each.message for each in report.problems] or whys
        hint = "; ".join(whys) or f"`allie --root {here.root} run-conf` shows why"
        raise StoreError("the first tick placed no kit", hint)
    ticks = (
        timer.install(here, settings.host)
        if wishes.timer
        else "no timer was installed (--no-timer)"
    )
    return Joined(report, ticks)


def _keep_servers_command(here: System) -> None:
    """Keep the command of a whole ALLiE, which a server has where the kit brings the client.

    The client hands over to it what it cannot do itself (cli.main).
    """
    inside = paths.Inside(here.root)
    present = inside.entry(system.ARCHIVE)
    try:
        with paths.parent_descriptor(here.root, present) as (above, name):
            target = os.readlink(name, dir_fd=above)
    except FileNotFoundError:
        return
    except OSError:  # no link
        body = within.read(here.root, present) or _ZIP
    else:
        target = os.path.join(f"/{os.path.dirname(system.ARCHIVE)}", target)
        body = b"#!/bin/sh\nexec '%s' \"$@\"\n" % os.fsencode(target.replace("'", "'\\''"))
    if _ZIP not in body[:4096]:
        folder, name = os.path.split(system.SERVERS_OWN)
        real = inside.directory(folder).real
        within.make_directories(here.root, real)
        within.write(here.root, f"{real}/{name}", body, 0o755)


def default_image(here: System) -> str:
    """The image's name from os-release: ID and VERSION_ID, `debian12`."""
    release = identity.os_release(here)
    if not release.id:
        raise SettingsError(f"{here.root} has no os-release(5)", "name its image with --image")
    return release.id + release.version


def _settings(here: System, name: str, image: str, wishes: Wishes) -> Settings:
    """The settings in force if they are already what is wished for; else new ones."""
    text = atomic.read(f"{here.etc}/allie.conf")
    if text is not None and here.name:
        present = configuration.parse(text, name)
        if wishes.store not in present.stores or wishes.overlays:
            # Never leave a store that answers, or overlays that are there, for a slip.
            overlays_of(wishes.store, image, wishes.overlays, wishes.ring or present.ring)
        return present._replace(
            stores=present.stores if wishes.store in present.stores else (wishes.store,),
            image=wishes.image or present.image,
            overlays=wishes.overlays or present.overlays,
            host=wishes.host or present.host,
            ring=wishes.ring or present.ring,
        )
    overlays = overlays_of(wishes.store, image, wishes.overlays, wishes.ring)
    made = Settings(name, (wishes.store,), overlays, image, wishes.ring, wishes.host)
    others = [each for each in configuration.declared(text or "") if each.name != name]
    return made._replace(others=tuple(others))


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


def _write(here: System, settings: Settings) -> None:
    """Write allie.conf and the system's name, unless they say so already.

    Where allie.conf comes from a store, and another store is named, that one is followed from now
    on, until what it has for this PC says otherwise. Raises UsageError where it is the same store.
    """
    try:
        os.makedirs(here.etc, exist_ok=True)
        os.makedirs(here.state, 0o700, exist_ok=True)
    except OSError as error:
        raise StateError(f"cannot make {here.etc}: {error.strerror}") from error
    path = f"{here.etc}/allie.conf"
    text = atomic.read(path)
    if text is None or configuration.parse(text, settings.system) != settings:
        source = generations.current(here) and delivered(here)
        if source and text and configuration.parse(text, settings.system).stores == settings.stores:
            raise UsageError(
                "allie.conf comes from an overlay", f"change it in the store: {source}"
            )
        made = rendering.render(settings)
        if source:
            generations.note_followed(here, made)
        else:
            atomic.write(path, made)
    if here.name != settings.system:
        atomic.write(f"{here.etc}/system", settings.system + "\n")


def delivered(here: System) -> str:
    """The overlay file that allie.conf comes from; "" if it was written by join alone."""
    entry = grounds.situation(here).resolution.entries.get("etc/allie/allie.conf")
    return entry.source if entry else ""
