"""The boot partition follows the systems that are present: their kernels, and the menu.

Order, so that a kill at any step leaves a menu that boots: kernels are copied beside what is there,
and synced; the menu is replaced by one rename; only then does what no entry names go. Every step
looks at what is there, so the next run finishes the work; one with nothing to do writes nothing.
It never installs GRUB itself (that is client.bootloader).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from allie.client import kernels, systems
from allie.client.kernels import Kernel
from allie.core import menu, whereabouts
from allie.core.errors import PathRefused, StateError
from allie.core.menu import Entry
from allie.core.settings import Declared, Settings
from allie.core.system import System
from allie.core.value import Value
from allie.machine import atomic, disks, mounts, paths, process, room

_MOST = 3  # kernels of one system


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
    with disks.mounted(device, f"{base.run}/boot") as boot:
        yield boot


def refresh(base: System, settings: Settings, boot: str) -> Menu:
    """Make the menu on the mounted boot partition follow the systems that are present.

    Raises StateError, and leaves the menu as it is, where no system has a kernel or room is short.
    """
    kernels: list[_Kernel] = []
    without: list[str] = []
    wrote = False
    named = atomic.read(f"{boot}/grub/grub.cfg") or ""
    own = Declared(settings.system, settings.root)
    for declared in (own, *settings.others):
        if not declared.is_partition:
            without.append(f"{declared.name}: it is on no partition with a label")
            continue
        try:
            with _root_of(base, own, declared) as root:
                mine = _kernels(root, declared, boot, named)
                wrote |= _copy(mine, boot)
        except (StateError, PathRefused) as error:
            if declared is not own and f"'/systems/{declared.name}/" not in named:
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


def entries(boot: str) -> list[str]:
    """What the menu on the mounted boot partition has, by id."""
    return menu.ids_in(atomic.read(f"{boot}/grub/grub.cfg") or "")


def running() -> str:
    """The entry that this PC was booted by; "" if not by a menu of ours."""
    return menu.booted_by(atomic.read("/proc/cmdline") or "")


def read_env(boot: str) -> dict[str, str]:
    """What GRUB and we have noted."""
    return menu.parse_env(atomic.read_bytes(f"{boot}/grub/grubenv") or b"")


def write_env(boot: str, env: dict[str, str]) -> bool:
    """Note it, if it differs; whether it did."""
    block = menu.format_env(env)
    if atomic.read_bytes(f"{boot}/grub/grubenv") == block:
        return False
    atomic.write(f"{boot}/grub/grubenv", block)
    _settle(boot)
    return True


def confirm(base: System, boot: str) -> bool:
    """Note that the running system came up, if this menu booted it; whether that was news."""
    booted = running()
    if not base.is_base or booted.partition("/")[0] != base.name:
        return False
    return write_env(boot, menu.confirm(read_env(boot), booted))


class _Absent(StateError):
    """A system that is not there, or has nothing to boot."""


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


def _kernels(root: str, declared: Declared, boot: str, named: str) -> list[_Kernel]:
    """A system's kernels that have an initramfs, newest first. Raises _Absent if there is none."""
    found = kernels.found(root)[:_MOST]
    if not found:
        raise _Absent("it has no kernel with an initramfs in /boot")
    inside = paths.Inside(root)
    cmdline = atomic.read(inside.prefix + inside.file("etc/kernel/cmdline")) or ""
    words = menu.options(declared.root, cmdline)
    return [_placed(declared.name, each, words, (boot, named)) for each in found]


def _placed(name: str, found: Kernel, options: str, where: tuple[str, str]) -> _Kernel:
    """Where a kernel's copy is, or is to be: never over one that the menu names."""
    boot, named = where
    release, files = found.release, (found.vmlinuz, found.initrd)
    spots = [f"/systems/{name}/{release}", f"/systems/{name}/{release}.new"]
    pairs = [(f"{at}/vmlinuz", f"{at}/initrd") for at in spots]
    good = [pair for pair in pairs if all(_same(src, boot + at) for src, at in zip(files, pair))]
    free = [pair for pair in pairs if f"'{pair[0]}'" not in named]
    kernel, initrd = (good or free or pairs)[0]
    title = f"{name} ({release})"
    return _Kernel(Entry(name, release, kernel, initrd, options, title), *files)


def _same(source: str, copy: str) -> bool:
    try:
        one, other = os.stat(source), os.stat(copy)
    except OSError:
        return False
    return (one.st_size, int(one.st_mtime)) == (other.st_size, int(other.st_mtime))


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
    os.makedirs(f"{boot}/grub", 0o755, exist_ok=True)
    if wrote:
        _settle(boot)
    text = menu.grub_cfg(entries)
    if atomic.read(f"{boot}/grub/grub.cfg") != text:
        atomic.write(f"{boot}/grub/grub.cfg", text)
        _settle(boot)
        wrote = True
    env = menu.follow(read_env(boot), entries, first)
    wrote |= write_env(boot, env)
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


def _settle(boot: str) -> None:
    """Have the journal written out: GRUB reads the file system without replaying it."""
    if boot in mounts.points():
        for state in ("ro", "rw"):
            process.run(["mount", "-o", f"remount,{state}", boot], check=state == "rw")
