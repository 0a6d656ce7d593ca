"""Gather a system's facts: host, classes, image, distro, version, arch, virt."""

from __future__ import annotations

import os

from allie.client.mirror import generation as generations
from allie.client.mirror.generation import Generation
from allie.client.state import host_names
from allie.core import facts, system
from allie.core.conf.settings import Settings
from allie.core.errors import SettingsError, StateError
from allie.core.facts import Facts
from allie.core.system import System
from allie.machine.files import atomic
from allie.machine.programs import process
from allie.machine.roots import paths

_VIRT = "/run/allie/virt"  # what systemd-detect-virt said; it cannot change until the next boot


def gather(here: System, settings: Settings, generation: Generation | None, own: Facts) -> Facts:
    """All facts of a system; its classes are those of the generation's own classes file.

    own: what was found just now, by the name and image of another allie.conf perhaps.
    """
    short, fqdn = host_names.of(here, settings.host)
    known = own._replace(host=short, fqdn=fqdn, image=settings.image)
    return known._replace(classes=_classes(here, generation, known))


def without_classes(
    here: System, host: str = "", image: str = "", generation: Generation | None = None
) -> Facts:
    """The facts that do not come from the store. generation: whose overlays are chosen by them."""
    short, fqdn = host_names.of(here, host)
    release = os_release(here)
    return Facts(
        host=short,
        fqdn=fqdn,
        image=image,
        distro=tuple(each for each in (release.id, *release.like) if each),
        version=release.version,
        arch=os.uname().machine,
        virt=virt(generation),
    )


def os_release(here: System) -> facts.OsRelease:
    """The root's os-release(5)."""
    inside = paths.Inside(here.root)
    for directory, name in (("etc", "os-release"), ("usr/lib", "os-release")):
        text = atomic.read(f"{inside.prefix}{inside.directory(directory).real}/{name}")
        if text is not None:
            return facts.parse_os_release(text)
    return facts.OsRelease()


def _classes(here: System, generation: Generation | None, known: Facts) -> tuple[str, ...]:
    """The classes by the generation's file; by the root's own where that cannot be read.

    A slip of the pen in one line must not strip every PC of its classes, nor stop its ticks: the
    plan refuses that file by name, and the one that was placed before stays. Raises SettingsError
    where the root's own cannot be read either.
    """
    text = generations.text_of(generation, system.CLASSES, known)
    try:
        if text is not None:
            return facts.classes_by_file(known.names, text)
    except SettingsError:
        pass
    own = atomic.read(f"{here.etc}/classes") or ""
    try:
        return facts.classes_by_file(known.names, own)
    except SettingsError as error:
        raise SettingsError(f"{here.etc}/{error}", "correct that line") from error


def virt(generation: Generation | None) -> str:
    """On what this machine runs; "" where nobody knows yet, and no name of a generation asks."""
    noted = atomic.read(_VIRT)
    if noted is not None:
        return noted.strip()
    if not generation or not generations.speaks_of(generation, "virt."):
        return ""
    if not process.has_program("systemd-detect-virt"):
        return ""
    found = process.run(["systemd-detect-virt"], only_reads=True).out.decode().strip()
    try:
        os.makedirs(os.path.dirname(_VIRT), exist_ok=True)
        atomic.write(_VIRT, found + "\n", durable=False)
    except (OSError, StateError):
        pass  # not root: ask again next time
    return found
