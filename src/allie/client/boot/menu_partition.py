"""The boot partition follows the systems that are present: their kernels, and the menu.

Order, so that a kill at any step leaves a menu that boots: kernels are copied beside what is there,
and synced; the menu is replaced by one rename; only then does what no entry names go. Every step
looks at what is there, so the next run finishes the work; one with nothing to do writes nothing.
What the menu is written in, is client.boot.loader_files' matter. It never installs a boot loader
(that is client.boot.install_loader).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from allie.client.boot import kernels, loader_files
from allie.client.boot.kernels import Kernel
from allie.client.situation import bound_disks, other_systems
from allie.client.situation.bound_disks import NoPartition
from allie.core.boot import menu
from allie.core.boot.menu import MenuEntry
from allie.core.conf.settings import Declared, Settings
from allie.core.errors import PathRefused, StateError
from allie.core.system import System
from allie.core.value import Value
from allie.machine.disk import disks
from allie.machine.files import free_space
from allie.machine.roots import volume
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

    Raises StateError where there is none of this PC's own (client.situation.bound_disks).
    """
    with ExitStack() as stack:
        with bound_disks.boot_pinned(base, device) as found:
            kind = found.kind or disks.kind_of(found.device)
            way = disks.AS_FAT if kind in disks.FAT else disks.AS_FILES
            at = f"{base.run}/boot"
            stack.enter_context(disks.mounted(found.device, at, way, kind))
        boot = stack.enter_context(volume.opened(at, way.flags))
        if way is disks.AS_FAT:
            loader_files.mark_as_fat(boot)
        yield boot


def refresh(base: System, settings: Settings, boot: Volume) -> Menu:
    """Make the menu on the mounted boot partition follow the systems that are present.

    Raises StateError, and leaves the menu as it is, where no system has a kernel or room is short.
    """
    there_now: list[_KernelCopy] = []
    without: list[str] = []
    wrote = False
    there = loader_files.read(boot)
    named = {each.partition("/")[0] for each in there.ids}
    own = Declared(settings.system, settings.root)
    for declared in (own, *settings.others):
        why = _why_not(declared, settings, fat=loader_files.is_fat(boot))
        if why:
            without.append(f"{declared.name}: {why}")
            continue
        try:
            with _root_of(base, own, declared) as root:
                mine = _kernels(root, declared, boot, there.kernels)
                wrote |= _copy(mine, root, boot)
        except (StateError, PathRefused) as error:
            if declared is not own and declared.name not in named:
                without.append(f"{declared.name}: {error.message}")
                continue
            if isinstance(error, _Absent):
                without.append(f"{declared.name}: {error.message}")
                continue
            raise
        there_now += mine
    entries = [each.entry for each in there_now]
    if not entries:
        raise StateError("no system has a kernel to boot: " + "; ".join(without), "install one")
    return _switch(boot, entries, settings.system, tuple(without), wrote)


def confirm(base: System, boot: Volume) -> bool:
    """Note that the running system came up, if this menu booted it; whether that was news."""
    booted = loader_files.running()
    if not base.is_base or booted.partition("/")[0] != base.name:
        return False
    return loader_files.write_env(boot, menu.confirm(loader_files.read(boot).env, booted))


class _Absent(StateError):
    """A system that is not there, or has nothing to boot."""


def _why_not(declared: Declared, settings: Settings, *, fat: bool) -> str:
    """Why a system can have no entry, whatever it holds; "" if it can."""
    if not declared.is_partition:
        return "it is on no partition with a label"
    names = [settings.system, *(each.name for each in settings.others)]
    before = [each.lower() for each in names[: names.index(declared.name)]]
    if fat and declared.name.lower() in before:
        return "on FAT its name is another system's"
    return ""


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
    root: str, declared: Declared, boot: Volume, named: frozenset[str]
) -> list[_KernelCopy]:
    """A system's kernels that have an initramfs, newest first. Raises _Absent if there is none."""
    found = kernels.found(root)[:_MOST]
    if not found:
        raise _Absent("it has no kernel with an initramfs in /boot")
    words = menu.options(declared.root, kernels.cmdline(root))
    return [_placed(declared.name, each, words, (boot, named)) for each in found]


def _placed(
    name: str, found: Kernel, options: str, where: tuple[Volume, frozenset[str]]
) -> _KernelCopy:
    """Where a kernel's copy is, or is to be: never over one that the menu names."""
    boot, named = where
    release, files = found.release, (found.vmlinuz, found.initrd)
    spot = f"/systems/{name}/{release}"
    spot = spot.lower() if loader_files.is_fat(boot) else spot  # it does not tell these apart
    spots = [spot, f"{spot}.new"]
    pairs = [(f"{at}/vmlinuz", f"{at}/initrd") for at in spots]
    good = [pair for pair in pairs if all(_same(src, boot, at) for src, at in zip(files, pair))]
    free = [pair for pair in pairs if pair[0] not in named]
    kernel, initrd = (good or free or pairs)[0]
    title = f"{name} ({release})"
    return _KernelCopy(MenuEntry(name, release, kernel, initrd, options, title), *files)


def _same(source: str, boot: Volume, copy: str) -> bool:
    there = boot.status(copy)
    if there is None or not boot.is_file(copy):
        return False
    try:
        one = os.stat(source)
    except OSError:
        return False
    return (one.st_size, _time(one)) == (there.st_size, _time(there))


def _time(st: os.stat_result) -> int:
    """When a file was written, as far as FAT can tell."""
    return max(int(st.st_mtime), _EARLIEST) // _GRAIN


def _copy(kernels_there: list[_KernelCopy], root: str, boot: Volume) -> bool:
    """Copy what is not there yet, each by a rename, and sync; whether there was any."""
    pairs = [(each.kernel, each.entry.kernel) for each in kernels_there]
    pairs += [(each.initrd, each.entry.initrd) for each in kernels_there]
    missing = [(source, copy) for source, copy in pairs if not _same(source, boot, copy)]
    if not missing:
        return False
    with ExitStack() as stack:
        files = [stack.enter_context(kernels.opened(root, source)) for source, _ in missing]
        free_space.need(boot.at, sum(os.fstat(each).st_size for each in files), 2 * len(missing))
        for file, (_, copy) in zip(files, missing):
            boot.make(os.path.dirname(copy))
            boot.bring(file, copy)
    boot.sync()
    return True


def _switch(
    boot: Volume, entries: list[MenuEntry], first: str, without: tuple[str, ...], wrote: bool
) -> Menu:
    """Name the new entries, then remove what none of them names."""
    if wrote:
        loader_files.settle(boot)
    env = menu.follow(loader_files.read(boot).env, entries, first)
    wrote |= loader_files.write(boot, entries, env)
    wrote |= _clean(boot, {os.path.dirname(each.kernel) for each in entries})
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
