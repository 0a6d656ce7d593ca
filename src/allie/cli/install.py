"""Install a PC: divide a disk, bring a system from the store, make it boot.

For any live or rescue Linux with Python and rsync. It shows what it will do, and asks.
"""

from __future__ import annotations

import os
import sys

from allie.cli import options
from allie.cli.options import ArgumentParser, Namespace
from allie.client.boot import grub, systemd_boot
from allie.client.mirror import contents
from allie.client.setup import install
from allie.client.setup.install import Bootable, Installation
from allie.core.boot import disk_layout
from allie.core.conf import addresses
from allie.core.conf import settings as configuration
from allie.core.conf.settings import Settings
from allie.core.errors import DONE, AllieError, StateError, UsageError
from allie.machine import console
from allie.machine.roots import open_system

_USES = {
    disk_layout.BIOS: "GRUB for BIOS",
    disk_layout.BOOT: "the boot menu",
    disk_layout.EFI_BOOT: "the boot menu, by systemd-boot",
    disk_layout.SYSTEM: "for another system",
}


def add_arguments(parser: ArgumentParser) -> None:
    """What goes where."""
    parser.add_argument("--disk", required=True, help="the whole disk, as /dev/sda")
    parser.add_argument("--image", required=True, help="the store's image")
    parser.add_argument("--store", required=True, help="rsync://host[:port]/, or ssh://user@host/…")
    parser.add_argument("--own", default="", help="ssh://host[:port]: what is the PC's own")
    parser.add_argument("--system", default="", help="the system's name (the image's)")
    parser.add_argument("--host", default="", help="the PC's name (that of this machine)")
    parser.add_argument("--overlays", default="", help="comma-separated (those the store has)")
    parser.add_argument("--layout", default="", metavar="FILE", help="how to divide the disk")
    parser.add_argument("--erase", action="store_true", help="the disk's content may be lost")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(args: Namespace) -> int:
    """Show, ask, and do it; a failure says how to go on."""
    if os.geteuid():
        raise UsageError("install must be run as root")
    settings = _settings(args)
    text = options.read_layout(args.layout) if args.layout else disk_layout.DEFAULT
    plan = install.plan(args.disk, text, settings, settings.host or _own_name())
    _need_loader(plan)
    _show(plan)
    _warn_of_image(plan)
    install.need_consent(plan, erase=args.erase)
    _ask(plan, args)
    bootable = _carry_out(plan)
    why = grub.no_bios(plan.disk)
    if why and disk_layout.BIOS in [each.kind for each in plan.partitions]:
        console.say(f"GRUB for BIOS was left out: {why}")
    console.say(
        f"{plan.settings.system} is installed on {plan.disk}, which boots by"
        f" {' and '.join(bootable.firmware)}: take this medium out, and reboot"
    )
    for line in bootable.own:
        console.say(line)
    return DONE


def _carry_out(plan: Installation) -> Bootable:
    """Install, and say after each step that it is done."""
    system = plan.settings.system
    state = "its partitions may be half made"
    try:
        install.partition(plan)
        console.say("partitions and file systems: there")
        state = f"it is divided; {system} is not complete in it"
        install.bring(plan)
        console.say(f"{system}: fetched, and its first tick is done")
        state = f"{system} is complete in it; the boot loader may not be"
        return install.make_bootable(plan)
    except (AllieError, KeyboardInterrupt):
        console.warn(f"allie: {plan.disk}: {state}. The same command goes on from there.")
        raise


def _settings(args: Namespace) -> Settings:
    """The settings of the system that is to be; the store is asked, and so known to answer."""
    store = addresses.check_store(args.store)
    image = configuration.check_name(args.image, "image")
    name = configuration.check_name(args.system or image, "system")
    if addresses.is_door(store):
        hint = "--store rsync://… --own " + store
        raise UsageError("the image comes by rsync's door: a new PC is not enrolled yet", hint)
    host = args.host and configuration.check_name(args.host, "host")
    own = args.own and addresses.check_door(args.own)
    found = Settings(name, (store,), (), image, host=host, own=own)
    overlays = contents.overlays_of(open_system.open_system(), found, options.words(args.overlays))
    contents.need_image(open_system.open_system(), found, image)
    for each in overlays:
        configuration.check_name(each, "overlay")
    return found._replace(overlays=overlays)


def _need_loader(plan: Installation) -> None:
    """Ask whether the image has systemd-boot, where the layout wants it: nothing is written yet."""
    if all(each.kind != disk_layout.EFI_BOOT for each in plan.partitions):
        return
    if not _in_image(plan.settings, "usr/lib/systemd/boot/efi"):
        image = plan.settings.image
        raise StateError(f"image {image} has no systemd-boot", systemd_boot.PACKAGES)


def _warn_of_image(plan: Installation) -> None:
    """Say what the image has not, and a tick needs; a conf script may yet bring it."""
    own = plan.settings
    missing = [name for name in ("python3", "rsync") if not _in_image(own, f"usr/bin/{name}")]
    if missing:
        console.warn(
            f"image {own.image} has no {' and no '.join(missing)}: {own.system} will not tick by"
            " itself. Put it into the image, or have a conf script install it"
        )


def _in_image(own: Settings, path: str) -> bool:
    here = open_system.open_system()
    return contents.has(here, own, own.stores[0], f"images/{own.image}/{path}")


def _own_name() -> str:
    """The name of this machine, which a DHCP server may have given it."""
    name = os.uname().nodename
    if name in ("", "(none)", "localhost"):
        raise UsageError("this machine has no name to give to the PC", "--host NAME")
    return configuration.check_name(name, "host")


def _show(plan: Installation) -> None:
    """What will be done, to the last partition."""
    own = plan.settings
    console.say(f"{plan.disk} ({plan.mib >> 10} GiB){', to be gone on with' * plan.goes_on}:")
    for each in plan.partitions:
        use = _USES.get(each.kind, each.kind)
        if each.where == own.root:
            use = f"the system {own.system}: image {own.image} of {own.stores[0]}"
        console.say(f"  {each.name:<12} {each.mib:>8} MiB  {use}")
    console.say(f"the PC is {plan.host}; overlays: {', '.join(own.overlays)}")


def _ask(plan: Installation, args: Namespace) -> None:
    """Raise UsageError where the person says no, or nobody is there to be asked (--yes)."""
    if plan.content:
        console.warn(f"what {plan.disk} holds will be LOST: {plan.content}")
    if args.yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("nobody is here to be asked", "add --yes")
    sys.stdout.write(console.printable(f"write on {plan.disk}? Type yes: "))
    sys.stdout.flush()
    if sys.stdin.readline().strip() != "yes":
        raise UsageError("nothing was done")
