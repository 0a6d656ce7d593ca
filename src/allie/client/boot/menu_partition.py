"""The boot partition follows the systems that are present: their kernels, and the menu.

Order, so that a kill at any step leaves a menu that boots: kernels are copied beside what is there,
and synced; the menu is replaced by one rename; only then does what no entry names go. Every step
looks at what is there, so the next run finishes the work; one with nothing to do writes nothing.
How the menu is written is the boot loader's matter (`boot_loader`).
"""

from __future__ import annotations

import os
from _collections_abc import Iterator
from contextlib import ExitStack, contextmanager

from allie.client.boot import boot_loader, systemd_boot
from allie.client.boot.boot_loader import BootLoader
from allie.client.boot.grub import Grub
from allie.client.boot.systemd_boot import SystemdBoot
from allie.client.situation import bound_disks, other_systems
from allie.client.situation.bound_disks import NoPartition
from allie.core.boot import menu
from allie.core.boot.menu import MenuEntry
from allie.core.conf.settings import Declared, Settings
from allie.core.errors import PathRefused, StateError
from allie.core.system import System
from allie.core.value import Value
from allie.machine.disk import file_systems
from allie.machine.files import free_space
from allie.machine.roots import kernels, volume, within
from allie.machine.roots.kernels import Kernel
from allie.machine.roots.volume import Volume

_MOST = 3  # kernels of one system
_EARLIEST = 315532800  # 1980: where the time of a FAT file system begins
_GRAIN = 2  # seconds, in which it counts


class Menu(Value):
    """The menu as it stands after a look."""

    entries: tuple[MenuEntry, ...]
    env: dict[str, str]
    without: tuple[str, ...]  # for each system that has no entry: its name, and why
    changed: bool  # whether this look wrote anything


class _KernelCopy(Value):
    """A kernel in a system, and where its copy is to be."""

    entry: MenuEntry
    kernel: str
    initrd: str


@contextmanager
def opened(base: System, device: str = "") -> Iterator[Volume]:
    """The boot partition, mounted for us alone. device: the one that was made just now.

    Raises StateError where there is none, or none that is this PC's own (`bound_disks`).
    """
    with ExitStack() as stack:
        with bound_disks.boot_pinned(base, device) as found:
            kind = found.kind or file_systems.kind_of(found.device)
            way = file_systems.AS_FAT if kind in file_systems.FAT else file_systems.AS_FILES
            at = f"{base.run}/boot"
            stack.enter_context(file_systems.mounted(found.device, at, way, kind))
        boot = stack.enter_context(volume.opened(at, way.flags))
        if way is file_systems.AS_FAT:
            systemd_boot.claim(boot)
        yield boot


def loader_of(boot: Volume) -> BootLoader:
    """The boot loader that a boot partition is for."""
    return SystemdBoot(boot) if systemd_boot.has(boot) else Grub(boot)


def refresh(base: System, settings: Settings, boot: Volume) -> Menu:
    """Make the menu on the mounted boot partition follow the systems that are present.

    Raises StateError, and leaves the menu as it is, where no system has a kernel or room is short.
    """
    there_now: list[_KernelCopy] = []
    without: list[str] = []
    wrote = False
    loader = loader_of(boot)
    there = loader.read()
    named = {each.partition("/")[0] for each in there.ids}
    own = Declared(settings.system, settings.root)
    for declared in (own, *settings.others):
        try:
            _may_be_named(declared, settings, loader)
            with _root_of(base, own, declared) as root:
                mine = _kernels(root, declared, loader, there.kernels)
                wrote |= _copy(mine, root, boot)
        except (StateError, PathRefused) as error:
            in_menu = declared is own or declared.name in named
            if in_menu and not isinstance(error, _Absent):
                raise
            without.append(f"{declared.name}: {error.message}")
        else:
            there_now += mine
    entries = [each.entry for each in there_now]
    if not entries:
        raise StateError("no system has a kernel to boot: " + "; ".join(without), "install one")
    return _switch(loader, entries, settings.system, tuple(without), wrote)


def confirm(base: System, boot: Volume) -> bool:
    """Note that the running system came up, if this menu booted it; whether that was news."""
    booted, loader = boot_loader.running(), loader_of(boot)
    if not base.is_base or booted.partition("/")[0] != base.name:
        return False
    return loader.write_env(menu.confirm(loader.read().env, booted))


class _Absent(StateError):
    """A system that is not there, or has nothing to boot."""


def _may_be_named(declared: Declared, settings: Settings, loader: BootLoader) -> None:
    """Raise _Absent where a system can have no entry, whatever it holds."""
    if not declared.is_partition:
        raise _Absent("it is on no partition with a label")
    names = [settings.system, *(each.name for each in settings.others)]
    before = [each.lower() for each in names[: names.index(declared.name)]]
    if not loader.tells_case and declared.name.lower() in before:
        raise _Absent("on FAT its name is another system's")


@contextmanager
def _root_of(base: System, own: Declared, declared: Declared) -> Iterator[str]:
    if declared is own:
        yield base.root
        return
    with ExitStack() as stack:
        try:
            root = stack.enter_context(other_systems.opened(base, declared))
        except NoPartition as error:
            raise _Absent(f"no partition has {declared.root}") from error
        stands, why = other_systems.standing(declared, root)
        if stands != other_systems.THERE:
            raise _Absent(why)
        yield root


def _kernels(
    root: str, declared: Declared, loader: BootLoader, named: frozenset[str]
) -> list[_KernelCopy]:
    """A system's kernels that have an initramfs, newest first. Raises _Absent if there is none."""
    found = kernels.found(root)[:_MOST]
    if not found:
        raise _Absent("it has no kernel with an initramfs in /boot")
    words = menu.options(declared.root, kernels.cmdline(root))
    placed = []
    for each in found:
        spot = f"/systems/{declared.name}/{each.release}"
        kernel, initrd = _copies(spot, root, each, loader, named)
        title = f"{declared.name} ({each.release})"
        entry = MenuEntry(declared.name, each.release, kernel, initrd, words, title)
        placed.append(_KernelCopy(entry, each.vmlinuz, each.initrd))
    return placed


def _copies(
    spot: str, root: str, found: Kernel, loader: BootLoader, named: frozenset[str]
) -> tuple[str, str]:
    """Where the copies of a kernel are, or are to be: never over one that the menu names."""
    spot = spot if loader.tells_case else spot.lower()
    pairs = [(f"{at}/vmlinuz", f"{at}/initrd") for at in (spot, f"{spot}.new")]
    for pair in pairs:
        files = zip((found.vmlinuz, found.initrd), pair)
        if all(_same(root, source, loader.boot, copy) for source, copy in files):
            return pair
    return next((pair for pair in pairs if pair[0] not in named), pairs[0])


def _same(root: str, source: str, boot: Volume, copy: str) -> bool:
    one, there = within.status(root, source), boot.status(copy)
    if one is None or there is None or not boot.is_file(copy):
        return False
    return (one.st_size, _time(one)) == (there.st_size, _time(there))


def _time(st: os.stat_result) -> int:
    """When a file was written, as far as FAT can tell."""
    return max(int(st.st_mtime), _EARLIEST) // _GRAIN


def _copy(kernels_there: list[_KernelCopy], root: str, boot: Volume) -> bool:
    """Copy what is not there yet, each by a rename, and sync; whether there was any."""
    pairs = [(each.kernel, each.entry.kernel) for each in kernels_there]
    pairs += [(each.initrd, each.entry.initrd) for each in kernels_there]
    missing = [(source, copy) for source, copy in pairs if not _same(root, source, boot, copy)]
    if not missing:
        return False
    with ExitStack() as stack:
        try:
            files = [stack.enter_context(within.opened(root, source)) for source, _ in missing]
        except OSError as error:
            raise StateError(f"cannot read a kernel of {root}: {error.strerror}") from error
        free_space.need(boot.at, sum(os.fstat(each).st_size for each in files), 2 * len(missing))
        for file, (_, copy) in zip(files, missing):
            boot.make(os.path.dirname(copy))
            boot.bring(file, copy)
    boot.sync()
    return True


def _switch(
    loader: BootLoader, entries: list[MenuEntry], first: str, without: tuple[str, ...], wrote: bool
) -> Menu:
    """Name the new entries, then remove what none of them names."""
    if wrote:
        loader.settle()
    env = menu.follow(loader.read().env, entries, first)
    wrote |= loader.write(entries, env)
    wrote |= _clean(loader.boot, {os.path.dirname(each.kernel) for each in entries})
    return Menu(tuple(entries), env, without, wrote)


def _clean(boot: Volume, named: set[str]) -> bool:
    """Remove the kernels that no entry names, and what a killed copy left; nothing of it by a link.

    What is no directory here is none of ours, and goes.
    """
    gone = False
    top = "/systems"
    for system in boot.names(top):
        inside = boot.names(f"{top}/{system}") if boot.is_directory(f"{top}/{system}") else []
        for release in inside:
            place = f"{top}/{system}/{release}"
            if place not in named or not boot.is_directory(place):
                gone |= boot.remove(place)
                continue
            for name in ("vmlinuz.part", "initrd.part"):
                gone |= boot.remove(f"{place}/{name}")
        if not any(each.startswith(f"{top}/{system}/") for each in named):
            gone |= boot.remove(f"{top}/{system}")
    return gone
