"""Fetch a tree of the store into a directory: `rsync-image image|overlay NAME DIR`.

An image becomes a complete system in DIR; files there that the image lacks stay. An overlay
arrives as the sparse tree that it is, variants and all. To lay overlays over a system, use
00overlay: it knows the system's symlinks, its variants, and what to put back.
"""

from __future__ import annotations

import os

from allie.cli import options
from allie.cli.options import ArgumentParser, Namespace
from allie.client.mirror import stores
from allie.client.situation import settings_in_force
from allie.core.conf import settings as configuration
from allie.core.conf.settings import Settings
from allie.core.errors import DONE, UsageError
from allie.core.system import System
from allie.machine import console
from allie.machine.files import atomic
from allie.machine.files.background_sync import BackgroundSync
from allie.machine.programs import process
from allie.machine.programs.process_groups import Bounds
from allie.machine.transfer import image_fetch, rsync
from allie.machine.transfer.image_fetch import Transfer


def add_arguments(parser: ArgumentParser) -> None:
    """What, and where to."""
    options.add_root(parser)
    parser.add_argument("kind", choices=("image", "overlay"))
    parser.add_argument("name", help="its name in the store")
    parser.add_argument("dir", help="an existing directory")
    parser.add_argument("--from", dest="store", default="", help="another store than ours")


def run(args: Namespace) -> int:
    """Fetch with everything that files have: owners by number, links, ACLs, attributes."""
    here = options.system_of(args)
    configuration.check_name(args.name, args.kind)
    _check_place(args)
    settings = (
        Settings("", (args.store,), ()) if args.store else settings_in_force.settings_of(here)
    )
    store, stall = settings.stores[0], settings.stall
    able = _rsync(here, args.dir)
    words, show = console.progress(f"{args.kind} {args.name}")
    empty = not os.listdir(args.dir)
    reach = [*stores.reach(here, settings, store), *words, *([] if empty else [rsync.BY_CONTENT])]
    if args.kind == "image":
        source = rsync.sources(store, [f"images/{args.name}"])[0]
        what = Transfer(able, reach, source, args.dir, fresh=empty)
        with BackgroundSync(args.dir) as to_disk:
            image_fetch.fetch(what, store, stall, show)
            to_disk.finish()
    else:
        argv = rsync.fetch(
            able, reach, rsync.sources(store, [f"overlays/{args.name}/"]), args.dir, []
        )
        rsync.check(process.run(argv, bounds=Bounds(stall, disk=args.dir), on_output=show), store)
        atomic.sync_filesystem(args.dir)
    return DONE


def _check_place(args: Namespace) -> None:
    """Raise UsageError where the directory is none, or is a system that a fetch would break."""
    if not os.path.isdir(args.dir):
        hint = "name a directory" if os.path.lexists(args.dir) else f"mkdir {args.dir}"
        raise UsageError(f"{args.dir} is not a directory", hint)
    if os.path.realpath(args.dir) == "/":
        raise UsageError("not over the running system", "overlays: run /root/conf/00overlay")
    if args.kind == "overlay" and os.path.lexists(f"{args.dir}/etc/os-release"):
        hint = f"allie --root {args.dir} run-conf 00overlay"
        raise UsageError(f"{args.dir} is a system; an overlay is laid over it by its tick", hint)


def _rsync(here: System, folder: str) -> rsync.Version:
    """What this machine's rsync can do; noted for the next time where there is ALLiE's state."""
    if os.path.isdir(here.state):
        return rsync.version(f"{here.state}/rsync")
    note = f"{folder}/.rsync-version"
    able = rsync.version(note)
    atomic.remove(note)
    return able
