"""Join: make a system follow a store; from then on it looks after itself."""

from __future__ import annotations

import os
from _collections_abc import Sequence

from allie.client.mirror import contents, identity
from allie.client.situation import gather_facts, grounds, settings_in_force
from allie.client.state import records
from allie.client.systems import look_after
from allie.client.tick import last_good, timer, whole_tick
from allie.core import digest, system
from allie.core.change.report import Report
from allie.core.conf import addresses, settings_text
from allie.core.conf import settings as configuration
from allie.core.conf.settings import Settings
from allie.core.errors import NotAdmitted, SettingsError, StateError, StoreError, UsageError
from allie.core.system import System
from allie.core.value import Value
from allie.machine import console
from allie.machine.files import atomic
from allie.machine.roots import open_system, paths, within
from allie.machine.transfer import ssh_door

_ZIP = b"PK\x03\x04"  # in the client's archive, after its first line


class Wishes(Value):
    """What the administrator says; "" or empty: found out."""

    store: str
    system: str = ""
    image: str = ""
    overlays: tuple[str, ...] = ()
    host: str = ""
    ring: str = ""
    own: str = ""
    timer: bool = True


class Joined(Value):
    """What join did."""

    report: Report  # of the first tick
    ticks: str  # how further ones are started, in words
    own: Sequence[str] = ()  # of the door that has what is its own, lines for people


def join(here: System, wishes: Wishes) -> Joined:
    """Write the settings, run the first tick, which installs the kit, and switch the timer on.

    Done again with the same wishes it changes nothing. Raises UsageError where the root already is
    another system, StoreError (nothing is written) where the store does not answer.
    """
    if os.geteuid() != 0:
        raise UsageError("join must be run as root")
    own = wishes.own and addresses.check_door(wishes.own)
    wishes = wishes._replace(store=addresses.check_store(wishes.store), own=own)
    image = wishes.image or here.name or _default_image(here)
    which = "a" if here.name else "the first"  # a system may join once more
    name = configuration.check_name(wishes.system or here.name or image, "system")
    if here.name and here.name != name:
        raise UsageError(f"{here.root} is the system {here.name} already", f"--system {here.name}")
    try:
        wanted = settings_text.render(_settings(here, name, image, wishes))
    except NotAdmitted as error:
        known = Settings(name, (wishes.store,), (), host=wishes.host)
        hint = f"on the server: {identity.to_enrol(here, known)}"
        raise NotAdmitted(f"{wishes.store} does not know this PC yet", hint) from error
    settings = configuration.parse(wanted, name)  # kit is in it, also where it was not wished for
    _write(here, settings)
    _keep_servers_command(here)
    here = open_system.open_system(here.root)
    console.tell(f"{which} tick runs; what its scripts print is in {here.logs}")
    digest.expect_much()
    running = last_good.mark(here)
    report = whole_tick.run(here, (), look_after.KIT, first=True)
    last_good.keep(here, running, report)
    if not os.path.exists(f"{here.conf}/run-conf"):
        whys = [f"{each.name}: {each.last}" for each in report.scripts if each.state == "failing"]
        whys = [each.message for each in report.problems] or whys
        hint = "; ".join(whys) or f"`allie --root {here.root} run-conf` shows why"
        raise StoreError("the first tick placed no kit", hint)
    ticks = "no timer was installed (--no-timer)"
    ticks = timer.install(here, settings.host) if wishes.timer else ticks
    return Joined(report, ticks, about_own(here))


def about_own(here: System) -> list[str]:
    """What to compare, and to do on the server, for what is a PC's own; [] without a door."""
    contact, server = records.own_contact(here), identity.pinned(here)
    if not contact.server or not server:
        return []
    key = f"{contact.server}: its key is {ssh_door.fingerprint(server)}; no other is taken"
    command = identity.to_enrol(here, settings_in_force.settings_of(here))
    waits = bool(command) and identity.waits(contact.trouble)
    return [key] + [f"to let it have what is its own, on the server: {command}"] * waits


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


def _default_image(here: System) -> str:
    """The image's name from os-release: ID and VERSION_ID, `debian12`."""
    release = gather_facts.os_release(here)
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
            asked = present._replace(stores=(wishes.store,), image=image)
            asked = asked._replace(ring=wishes.ring or present.ring, own=wishes.own or present.own)
            contents.overlays_of(here, asked, wishes.overlays)
        return present._replace(
            stores=present.stores if wishes.store in present.stores else (wishes.store,),
            image=wishes.image or present.image,
            overlays=wishes.overlays or present.overlays,
            host=wishes.host or present.host,
            ring=wishes.ring or present.ring,
            own=wishes.own or present.own,
        )
    made = Settings(name, (wishes.store,), (), image, wishes.ring, wishes.host, own=wishes.own)
    made = made._replace(overlays=contents.overlays_of(here, made, wishes.overlays))
    others = [each for each in configuration.declared(text or "") if each.name != name]
    return made._replace(others=tuple(others))


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
        source = grounds.delivered(here)
        if source and text and configuration.parse(text, settings.system).stores == settings.stores:
            raise grounds.must_change_in_store(source)
        made = settings_text.render(settings)
        if source:
            settings_in_force.note_followed(here, made)
        else:
            atomic.write(path, made)
    if here.name != settings.system:
        atomic.write(f"{here.etc}/system", settings.system + "\n")
