"""The files of the boot menu, and the one place where GRUB and systemd-boot differ for a PC.

    boot partition     loader         what is written here
    ext4               GRUB           grub/grub.cfg, then grub/grubenv
    FAT (UEFI alone)   systemd-boot   loader/entries/, then loader/loader.conf, then a variable

The kernels that the menu names are there already, and go later (client.boot.menu_partition). Each
step is one rename, after which the partition boots.
"""

from __future__ import annotations

from allie.core.boot import boot_loader_spec, grub, menu
from allie.core.boot.boot_loader_spec import LoaderMenu
from allie.core.boot.menu import MenuEntry
from allie.core.value import Value
from allie.machine.disk import efivars
from allie.machine.files import atomic
from allie.machine.roots.volume import Volume

_ENTRIES = "loader/entries"


class Written(Value):
    """The menu as it is written on a boot partition."""

    ids: tuple[str, ...]  # of its entries, in its order
    kernels: frozenset[str]  # that it names, by their paths on the boot partition
    env: dict[str, str]  # what the loader and we have noted


def mark_as_fat(boot: Volume) -> None:
    """Have a boot partition be systemd-boot's."""
    boot.make("loader")


def is_fat(boot: Volume) -> bool:
    """Whether a boot partition is systemd-boot's, which is FAT; else it is GRUB's."""
    return boot.is_directory("loader")


def running() -> str:
    """The entry that this PC was booted by; "" if not by a menu of ours."""
    return menu.booted_by(atomic.read("/proc/cmdline") or "")


def read(boot: Volume) -> Written:
    """What the loader finds."""
    if is_fat(boot):
        there = _read_loader(boot)
        return Written(
            tuple(each.id for each in there.entries),
            frozenset(each.kernel for each in there.entries),
            there.env,
        )
    cfg = boot.text("grub/grub.cfg")
    env = grub.parse_env(boot.read("grub/grubenv") or b"")
    return Written(tuple(grub.ids_in(cfg)), frozenset(grub.kernels_in(cfg)), env)


def write(boot: Volume, entries: list[MenuEntry], env: dict[str, str]) -> bool:
    """Have the menu be of these entries, and boot what these variables say; whether that is new."""
    if is_fat(boot):
        return _write_loader(boot, entries, env)
    boot.make("grub")
    text = grub.config(entries)
    changed = boot.text("grub/grub.cfg") != text
    if changed:
        boot.write("grub/grub.cfg", text)
        settle(boot)
    return write_env(boot, env) or changed


def write_env(boot: Volume, env: dict[str, str]) -> bool:
    """Have these variables with the present entries, if they differ; whether they did."""
    if is_fat(boot):
        return _write_loader(boot, list(_read_loader(boot).entries), env)
    block = grub.format_env(env)
    if boot.read("grub/grubenv") == block:
        return False
    boot.write("grub/grubenv", block)
    settle(boot)
    return True


def settle(boot: Volume) -> None:
    """Have what was written stand where a loader finds it: GRUB replays no journal."""
    if is_fat(boot):
        boot.sync()
    else:
        boot.settle()


def _read_loader(boot: Volume) -> LoaderMenu:
    """systemd-boot's menu. Where it passed the default over, that has given way."""
    files = {name: boot.text(f"{_ENTRIES}/{name}") for name in _ours(boot)}
    conf = boot.text("loader/loader.conf")
    there = boot_loader_spec.standing(
        conf, files, efivars.read(boot_loader_spec.ONCE), efivars.read(boot_loader_spec.ALWAYS)
    )
    if running() == there.env.get("allie_default"):
        return there  # its last try may be this one
    return there._replace(env=menu.give_way(there.env))


def _write_loader(boot: Volume, entries: list[MenuEntry], env: dict[str, str]) -> bool:
    """A new generation beside the present one, then loader.conf, then what is there no more."""
    present = {name: boot.text(f"{_ENTRIES}/{name}") for name in _ours(boot)}
    conf = boot.text("loader/loader.conf")
    number = boot_loader_spec.standing(conf, {}, "", "").number
    wanted = boot_loader_spec.files(entries, env, number)
    mine = {name: present[name] for name in present if boot_loader_spec.generation(name) == number}
    changed = (conf, mine) != (boot_loader_spec.conf(env, number), wanted)
    if changed:
        number += 1
        wanted = boot_loader_spec.files(entries, env, number)
        boot.make(_ENTRIES)
        for name in [name for name in present if boot_loader_spec.generation(name) == number]:
            boot.remove(f"{_ENTRIES}/{name}")  # of a run that was killed
        for name, text in wanted.items():
            boot.write(f"{_ENTRIES}/{name}", text)
        settle(boot)
        boot.write("loader/loader.conf", boot_loader_spec.conf(env, number))
        settle(boot)
    changed |= _note_once(wanted, env)
    for name in set(_ours(boot)) - set(wanted):
        changed |= boot.remove(f"{_ENTRIES}/{name}")
    return changed


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


def _ours(boot: Volume) -> list[str]:
    """The files of our entries, and what a killed run left of them."""
    return [name for name in boot.names(_ENTRIES) if name.startswith(boot_loader_spec.OURS)]
