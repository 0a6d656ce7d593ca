"""systemd-boot: its menu of files in loader/entries, on a boot partition that is FAT.

A new generation of entries is written beside the present one, and takes its place when loader.conf
names it. systemd-boot counts the boots of an entry in its file's name.
"""

from __future__ import annotations

from allie.client.boot import boot_loader
from allie.client.boot.boot_loader import BootLoader, Written
from allie.core.boot import boot_loader_spec, menu
from allie.core.boot.boot_loader_spec import LoaderMenu
from allie.core.boot.menu import MenuEntry
from allie.core.errors import StateError
from allie.machine.disk import efivars
from allie.machine.files import atomic
from allie.machine.roots import open_system
from allie.machine.roots.volume import Volume

PACKAGES = (
    "put it in its image: systemd-boot-efi (since Debian 12 and Ubuntu 24.04), before that systemd;"
    " in Fedora systemd-boot-unsigned"
)
FALLBACK = "EFI/BOOT/BOOTX64.EFI"  # what every firmware tries (UEFI 3.5.1.1)
_IMAGE = "usr/lib/systemd/boot/efi/systemd-bootx64.efi"
_OWN_PLACE = "EFI/systemd/systemd-bootx64.efi"  # where bootctl(1) looks for it
_ENTRIES = "loader/entries"
_CONF = "loader/loader.conf"


def claim(boot: Volume) -> None:
    """Have a boot partition be systemd-boot's from now on."""
    boot.make("loader")


def has(boot: Volume) -> bool:
    """Whether a boot partition is systemd-boot's."""
    return boot.is_directory("loader")


class SystemdBoot(BootLoader):
    """systemd-boot, on the EFI system partition."""

    tells_case = False

    def read(self) -> Written:
        there = self._standing()
        return Written(
            tuple(each.id for each in there.entries),
            frozenset(each.kernel for each in there.entries),
            there.env,
        )

    def write(self, entries: list[MenuEntry], env: dict[str, str]) -> bool:
        """A new generation beside the present one, then loader.conf, then what is there no more."""
        boot, present, conf = self.boot, self._files(), self.boot.text(_CONF)
        number = boot_loader_spec.standing(conf, {}, "", "").number
        wanted = boot_loader_spec.files(entries, env, number)
        mine = {name: present[name] for name in present if _is_of(name, number)}
        changed = (conf, mine) != (boot_loader_spec.conf(env, number), wanted)
        if changed:
            number += 1
            wanted = boot_loader_spec.files(entries, env, number)
            boot.make(_ENTRIES)
            for name in [name for name in present if _is_of(name, number)]:
                boot.remove(f"{_ENTRIES}/{name}")  # of a run that was killed
            for name, text in wanted.items():
                boot.write(f"{_ENTRIES}/{name}", text)
            self.settle()
            boot.write(_CONF, boot_loader_spec.conf(env, number))
            self.settle()
        changed |= _note_once(wanted, env)
        for name in set(self._names()) - set(wanted):
            changed |= boot.remove(f"{_ENTRIES}/{name}")
        return changed

    def write_env(self, env: dict[str, str]) -> bool:
        return self.write(list(self._standing().entries), env)

    def settle(self) -> None:
        self.boot.sync()

    def install(self, root: str, _disk: str, _esp: str, /) -> list[str]:
        image = atomic.read_bytes(open_system.open_system(root).at(_IMAGE))
        if not image:
            raise StateError(f"the system in {root} has no systemd-boot: no {_IMAGE}", PACKAGES)
        for path in (_OWN_PLACE, FALLBACK):
            put(self.boot, path, image)
        self.boot.sync()
        return ["UEFI"]

    def _standing(self) -> LoaderMenu:
        """What is written. Where the loader passed the default over, that has given way."""
        once, always = map(efivars.read, (boot_loader_spec.ONCE, boot_loader_spec.ALWAYS))
        there = boot_loader_spec.standing(self.boot.text(_CONF), self._files(), once, always)
        if boot_loader.running() == there.env.get("allie_default"):
            return there  # its last try may be this one
        return there._replace(env=menu.give_way(there.env))

    def _files(self) -> dict[str, str]:
        return {name: self.boot.text(f"{_ENTRIES}/{name}") for name in self._names()}

    def _names(self) -> list[str]:
        """The files of our entries, and what a killed run left of them."""
        names = self.boot.names(_ENTRIES)
        return [name for name in names if name.startswith(boot_loader_spec.OURS)]


def put(there: Volume, path: str, image: bytes) -> None:
    """Put a program for the firmware on an EFI system partition."""
    there.make(path.rpartition("/")[0])
    there.write(path, image)


def _is_of(name: str, number: int) -> bool:
    return boot_loader_spec.generation(name) == number


def _note_once(files: dict[str, str], env: dict[str, str]) -> bool:
    """Have the firmware know what is booted once, and nothing else of ours; whether that is new."""
    once = ""
    if env.get("next_entry"):
        ids = boot_loader_spec.standing("", files, "", "").names
        once = next(
            (boot_loader_spec.bare(name) for name in ids if ids[name] == env["next_entry"]), ""
        )
    changed = False
    for variable, wanted in ((boot_loader_spec.ONCE, once), (boot_loader_spec.ALWAYS, "")):
        present = efivars.read(variable)
        if wanted and present != wanted:
            efivars.write(variable, wanted)
            changed = True
        elif not wanted and present.startswith(boot_loader_spec.OURS):
            efivars.remove(variable)
            changed = True
    return changed
