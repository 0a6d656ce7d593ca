"""List this PC's systems, add one, update it, roll it back, remove it.

allie system list            each system: where it lives, its image, how it stands
allie system add NAME        declare a system if need be, and bring it now; on a partition that this
                             PC does not know yet: with --format DEVICE, or with --trust
allie system update NAME     bring its image as it is now beside it, and switch to it
allie system rollback NAME   switch back to what it was before the last update
allie system remove NAME     remove it, and its section of allie.conf
"""

from __future__ import annotations

import os

from allie.cli import options
from allie.cli.options import ArgumentParser, Namespace
from allie.client.situation import bound_disks, settings_in_force
from allie.client.situation import other_systems as others
from allie.client.systems import declared_systems, new_system, update_rollback
from allie.client.systems.new_system import Job
from allie.core.conf.settings import Declared
from allie.core.errors import DONE, UsageError
from allie.core.value import TYPE_CHECKING
from allie.machine import console
from allie.machine.disk import file_systems

if TYPE_CHECKING:
    from allie.core.system import System


def add_arguments(parser: ArgumentParser) -> None:
    """What to do, with which system; for `add`, what it is to be."""
    parser.add_argument("--root", default="/", metavar="DIR", help="on the PC whose root is DIR")
    parser.add_argument("action", choices=("list", "add", *_CHANGES))
    parser.add_argument("name", nargs="?", default="", help="the system")
    parser.add_argument(
        "--in", dest="place", default="", metavar="PLACE", help="add: LABEL=, PARTLABEL= or a path"
    )
    parser.add_argument("--image", default="", help="add: its image (its name)")
    parser.add_argument("--overlays", default="", help="add: comma-separated (kit, common, image)")
    parser.add_argument("--format", default="", metavar="DEVICE", help="add: mkfs on it first")
    parser.add_argument("--trust", action="store_true", help="add: its partition is this PC's own")
    parser.add_argument("--in-place", action="store_true", help="update: also on a partition")
    parser.add_argument("--quick", action="store_true", help="update: same size and time is equal")
    options.add_json(parser)


def run(args: Namespace) -> int:
    """Do it."""
    here = options.system_of(args)
    if args.action == "list":
        return _list(here, args)
    options.no_json(args)
    if not args.name:
        raise UsageError(f"`allie system {args.action}` needs NAME", "allie system list")
    if args.action == "add":
        return _add(here, args)
    if args.name == here.name:
        hint = f"`system {args.action}` is for the others: boot one of them first (allie boot)"
        raise UsageError(f"{args.name} is the system that runs now", hint)
    console.say(f"{args.name}: {_CHANGES[args.action](here, args)}")
    return DONE


def _update(here: System, args: Namespace) -> str:
    declared = others.find(settings_in_force.settings_of(here), args.name)
    job = _job(here, declared)
    made = update_rollback.update(job, in_place=args.in_place, quick=args.quick)
    words = "now the image {} as the store has it" if made else "already as the image {} has it"
    return words.format(declared.image)


def _rollback(here: System, args: Namespace) -> str:
    declared = others.find(settings_in_force.settings_of(here), args.name)
    image = update_rollback.rollback(here, declared)
    return f"back to the tree before, image {image or 'unknown'}"


def _remove(here: System, args: Namespace) -> str:
    settings = settings_in_force.settings_of(here)
    for orphan in declared_systems.orphans(here, settings):
        if orphan.name == args.name:
            update_rollback.remove(here, orphan)
            return f"removed{_left(orphan)}"
    declared = others.find(settings, args.name)
    declared_systems.may_change(here)
    update_rollback.remove(here, declared)
    declared_systems.forget(here, declared.name)
    return f"removed, and [system {declared.name}] of allie.conf{_left(declared)}"


_CHANGES = {"update": _update, "rollback": _rollback, "remove": _remove}


def _left(declared: Declared) -> str:
    return f"; the file system {declared.root} stays as it is" * declared.is_partition


def _list(here: System, args: Namespace) -> int:
    found = declared_systems.survey(here)
    lines = (
        f"{each.name:<16} {each.state:<9} {each.image or 'unnamed':<16} "
        f"{each.root or '-'}  {each.words}".rstrip()
        for each in found
    )
    options.show(args, found, lines)
    return DONE


def _add(here: System, args: Namespace) -> int:
    settings = settings_in_force.settings_of(here)
    known = [each for each in settings.others if each.name == args.name]
    if not known or args.place or args.image or args.overlays:
        overlays = options.words(args.overlays)
        wanted = Declared(args.name, args.place, args.image, overlays)
        declared_systems.declare(here, settings, wanted, comes=not args.trust)
    declared = others.find(settings_in_force.settings_of(here), args.name)
    _bind(here, declared, args)
    if args.trust and not (declared.image and declared.overlays):
        return DONE  # it comes from elsewhere; here it is booted, or entered
    new_system.bring(_job(here, declared))
    console.say(f"{declared.name}: there, in {declared.root}")
    return DONE


def _bind(here: System, declared: Declared, args: Namespace) -> None:
    """A person at this PC says which disk is meant."""
    if not (args.format or args.trust):
        return
    if not declared.is_partition:
        words = f"{declared.name} lives in {declared.root}, which is no partition"
        raise UsageError(words, "leave out --format and --trust")
    if args.format:
        file_systems.make(args.format, declared.root)

    def look(root: str) -> None:
        others.need_free_place(declared, root)

    comes = args.trust and declared.image and declared.overlays  # else it is there already
    device = os.path.realpath(args.format) if args.format else ""
    device = bound_disks.trust(here, declared, device, look if comes else None)
    console.say(f"{declared.name}: {declared.root} on {device} is this PC's own from now on")


def _job(here: System, declared: Declared) -> Job:
    return Job(here, settings_in_force.settings_of(here), declared)
