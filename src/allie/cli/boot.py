"""Show which systems this PC can boot, and choose one: for good, or for the next boot alone."""

from __future__ import annotations

from allie.cli import options
from allie.cli.options import ArgumentParser, Namespace
from allie.client.boot import boot_loader, menu_partition
from allie.client.boot.menu_partition import Menu
from allie.client.situation import bound_disks, settings_in_force
from allie.core.boot import menu
from allie.core.errors import DONE, UsageError, did_you_mean
from allie.machine import console
from allie.machine.roots import open_system
from allie.machine.roots.volume import Volume

_WORDS = {
    "allie_default": "default",
    "next_entry": "next boot only",
    "allie_bad": "did not come up twice",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Which system, and for how long."""
    parser.add_argument("system", nargs="?", help="boot this one: SYSTEM, or SYSTEM/KERNEL")
    parser.add_argument("--once", action="store_true", help="the next time only")
    parser.add_argument(
        "--trust",
        action="store_true",
        help="the boot partition with ALLiE's label is this PC's own",
    )
    options.add_json(parser)


def run(args: Namespace) -> int:
    """List the menu, or choose in it."""
    here = open_system.open_system()
    open_system.need_name(here)
    if args.once and not args.system:
        raise UsageError("--once needs a system", "allie boot SYSTEM --once")
    if args.trust:
        console.warn(
            f"the boot partition {bound_disks.trust_boot(here)} is this PC's own from now on"
        )
    if args.system:
        options.no_json(args)
    with menu_partition.opened(here) as boot:
        if not args.system:
            return _list(boot, args)
        made = menu_partition.refresh(here, settings_in_force.settings_of(here), boot)
        entry = _find(made, args.system)
        pin = "/" in args.system
        env = menu.choose(made.env, entry, once=args.once, pin=pin)
        menu_partition.loader_of(boot).write_env(env)
    console.say(f"{entry} is booted next, {'once' if args.once else 'and from then on'}")
    return DONE


def _find(made: Menu, wanted: str) -> str:
    """The id of the entry that SYSTEM, or SYSTEM/KERNEL, means. Raises UsageError."""
    ids = [each.id for each in made.entries]
    entry = menu.find(ids, wanted)
    if not entry:
        why = "; ".join(each for each in made.without if each.startswith(f"{wanted}:"))
        known = [*ids, *(each.partition("/")[0] for each in ids)]
        hint = did_you_mean(wanted, known) or f"it has: {' '.join(ids)}"
        raise UsageError(why or f"the menu has no {wanted}", hint)
    return entry


def _list(boot: Volume, args: Namespace) -> int:
    there, running = menu_partition.loader_of(boot).read(), boot_loader.running()
    found, lines = [], []
    for each in there.ids:
        marks = [words for name, words in _WORDS.items() if there.env.get(name) == each]
        marks += ["running"] if each == running else []
        system, _, kernel = each.partition("/")
        found.append({"system": system, "kernel": kernel, "marks": marks})
        lines.append(f"{system:<16} {kernel:<28} {', '.join(marks)}".rstrip())
    options.show(args, found, lines)
    return DONE
