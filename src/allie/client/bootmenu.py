"""The boot partition follows the systems that are present: their kernels, and the menu.

Order, so that a kill at any step leaves a menu that boots: kernels are copied beside what is there,
and synced; the menu is replaced by one rename; only then does what no entry names go. Every step
looks at what is there, so the next run finishes the work; one with nothing to do writes nothing.
What the menu is written in, is client.menufiles' matter. It never installs a boot loader (that is
client.bootloader).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from allie.client import kernels, menufiles, systems
from allie.client.kernels import Kernel
from allie.core import menu, whereabouts
from allie.core.errors import PathRefused, StateError
from allie.core.menu import Entry
from allie.core.settings import Declared, Settings
from allie.core.system import System
from allie.core.value import Value
from allie.machine import atomic, disks, paths, process, room

_MOST = 3  # kernels of one system
_EARLIEST = 315532800  # 1980: where the time of a FAT file system begins
_GRAIN = 2  # seconds, in which it counts


class Menu(Value):
    """The menu as it stands after a look."""

    entries: tuple[Entry, ...]
    env: dict[str, str]
    without: tuple[str, ...]  # for each system that has no entry: its name, and why
    changed: bool  # whether this look wrote anything


class _Kernel(Value):
    """A kernel in a system, and where its copy is to be."""

    entry: Entry
    kernel: str
    initrd: str


@contextmanager
def opened(base: System) -> Iterator[str]:
    """The boot partition, mounted for us alone. Raises StateError where there is none."""
    device = disks.device(f"LABEL={whereabouts.BOOT_LABEL}")
    if not device:
        raise StateError(
            f"this PC has no boot partition of ALLiE's (LABEL={whereabouts.BOOT_LABEL})",
            "it boots by its own system's menu",
        )
    fat = process.has_program("blkid") and disks.contents(device).get("TYPE") == "vfat"
    usual = "rw,dev,suid,exec"  # and times that do not depend on what the clock's battery keeps
    options = f"{usual},tz=UTC" if fat else usual
    with disks.mounted(device, f"{base.run}/boot", (options,)) as boot:
        if fat:
            menufiles.mark_as_fat(boot)
        yield boot


def refresh(base: System, settings: Settings, boot: str) -> Menu:
    """Make the menu on the mounted boot partition follow the systems that are present.

    Raises StateError, and leaves the menu as it is, where no system has a kernel or room is short.
    """
    kernels: list[_Kernel] = []
    without: list[str] = []
    wrote = False
    there = menufiles.read(boot)
    named = {each.partition("/")[0] for each in there.ids}
    own = Declared(settings.system, settings.root)
    for declared in (own, *settings.others):
        why = _why_not(declared, settings, fat=menufiles.is_fat(boot))
        if why:
            without.append(f"{declared.name}: {why}")
            continue
        try:
            with _root_of(base, own, declared) as root:
                mine = _kernels(root, declared, boot, there.kernels)
                wrote |= _copy(mine, boot)
        except (StateError, PathRefused) as error:
            if declared is not own and declared.name not in named:
                without.append(f"{declared.name}: {error.message}")
                continue
            if isinstance(error, _Absent):
                without.append(f"{declared.name}: {error.message}")
                continue
            raise
        kernels += mine
    entries = [each.entry for each in kernels]
    if not entries:
        raise StateError("no system has a kernel to boot: " + "; ".join(without), "install one")
    return _switch(boot, entries, settings.system, tuple(without), wrote)


def confirm(base: System, boot: str) -> bool:
    """Note that the running system came up, if this menu booted it; whether that was news."""
    booted = menufiles.running()
    if not base.is_base or booted.partition("/")[0] != base.name:
        return False
    return menufiles.write_env(boot, menu.confirm(menufiles.read(boot).env, booted))


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
    if not disks.device(declared.root):
        raise _Absent(f"no partition has {declared.root}")
    with systems.opened(base, declared) as root:
        stands, why = systems.standing(declared, root)
        if stands != systems.THERE:
            raise _Absent(why)
        yield root


def _kernels(root: str, declared: Declared, boot: str, named: frozenset[str]) -> list[_Kernel]:
    """A system's kernels that have an initramfs, newest first. Raises _Absent if there is none."""
    found = kernels.found(root)[:_MOST]
    if not found:
        raise _Absent("it has no kernel with an initramfs in /boot")
    inside = paths.Inside(root)
    cmdline = atomic.read(inside.prefix + inside.file("etc/kernel/cmdline")) or ""
    words = menu.options(declared.root, cmdline)
    return [_placed(declared.name, each, words, (boot, named)) for each in found]


def _placed(name: str, found: Kernel, options: str, where: tuple[str, frozenset[str]]) -> _Kernel:
    """Where a kernel's copy is, or is to be: never over one that the menu names."""
    boot, named = where
    release, files = found.release, (found.vmlinuz, found.initrd)
    spot = f"/systems/{name}/{release}"
    spot = spot.lower() if menufiles.is_fat(boot) else spot  # it does not tell these apart
    spots = [spot, f"{spot}.new"]
    pairs = [(f"{at}/vmlinuz", f"{at}/initrd") for at in spots]
    good = [pair for pair in pairs if all(_same(src, boot + at) for src, at in zip(files, pair))]
    free = [pair for pair in pairs if pair[0] not in named]
    kernel, initrd = (good or free or pairs)[0]
    title = f"{name} ({release})"
    return _Kernel(Entry(name, release, kernel, initrd, options, title), *files)


def _same(source: str, copy: str) -> bool:
    try:
        one, other = os.stat(source), os.stat(copy)
    except OSError:
        return False
    return (one.st_size, _time(one)) == (other.st_size, _time(other))


def _time(st: os.stat_result) -> int:
    """When a file was written, as far as FAT can tell."""
    return max(int(st.st_mtime), _EARLIEST) // _GRAIN


def _copy(kernels: list[_Kernel], boot: str) -> bool:
    """Copy what is not there yet, each by a rename, and sync; whether there was any."""
    pairs = [(each.kernel, boot + each.entry.kernel) for each in kernels]
    pairs += [(each.initrd, boot + each.entry.initrd) for each in kernels]
    missing = [(source, copy) for source, copy in pairs if not _same(source, copy)]
    if not missing:
        return False
    size = sum(os.stat(source).st_size for source, _ in missing)
    room.need(boot, size, 2 * len(missing))
    for source, copy in missing:
        os.makedirs(os.path.dirname(copy), 0o755, exist_ok=True)
        try:
            shutil.copyfile(source, f"{copy}.part")
            st = os.stat(source)
            os.utime(f"{copy}.part", ns=(st.st_mtime_ns, st.st_mtime_ns))
        except OSError as error:
            raise StateError(f"cannot copy {source} to {copy}: {error.strerror}") from error
        atomic.sync_filesystem(boot)  # before it has its name: the next run trusts size and time
        os.rename(f"{copy}.part", copy)
    atomic.sync_filesystem(boot)
    return True


def _switch(
    boot: str, entries: list[Entry], first: str, without: tuple[str, ...], wrote: bool
) -> Menu:
    """Name the new entries, then remove what none of them names."""
    if wrote:
        menufiles.settle(boot)
    env = menu.follow(menufiles.read(boot).env, entries, first)
    wrote |= menufiles.write(boot, entries, env)
    wrote |= _clean(f"{boot}/systems", {boot + os.path.dirname(each.kernel) for each in entries})
    return Menu(tuple(entries), env, without, wrote)


def _clean(top: str, named: set[str]) -> bool:
    """Remove the kernels that no entry names, and what a killed copy left."""
    gone = False
    for system in sorted(os.listdir(top)):
        for release in sorted(os.listdir(f"{top}/{system}")):
            place = f"{top}/{system}/{release}"
            if place not in named:
                shutil.rmtree(place)
                gone = True
                continue
            for name in ("vmlinuz.part", "initrd.part"):
                gone |= atomic.remove(f"{place}/{name}")
        if not os.listdir(f"{top}/{system}"):
            os.rmdir(f"{top}/{system}")
    return gone
