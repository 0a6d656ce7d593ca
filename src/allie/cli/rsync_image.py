"""Fetch a tree of the store into a directory: `rsync-image image|overlay NAME DIR`.

An image becomes a complete system in DIR; files there that the image lacks stay. An overlay
arrives as the sparse tree that it is, variants and all. To lay overlays over a system, use
00overlay: it knows the system's symlinks, its variants, and what to put back.
"""

from __future__ import annotations

import os

from allie.cli import options
from allie.client import generation, part
from allie.core import settings as configuration
from allie.core.errors import DONE, UsageError
from allie.core.value import TYPE_CHECKING
from allie.machine import atomic, bringing, console, locate, process, rsync

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What, and where to."""
    options.add_root(parser)
    parser.add_argument("kind", choices=("image", "overlay"))
    parser.add_argument("name", help="its name in the store")
    parser.add_argument("dir", help="an existing directory")
    parser.add_argument("--from", dest="store", default="", help="another store than ours")


def run(args: argparse.Namespace) -> int:
    """Fetch with everything that files have: owners by number, links, ACLs, attributes."""
    here = options.system_of(args)
    configuration.check_name(args.name, args.kind)
    if not os.path.isdir(args.dir):
        raise UsageError(f"{args.dir} is not a directory", f"mkdir {args.dir}")
    if os.path.realpath(args.dir) == "/":
        raise UsageError("not over the running system", "overlays: run /root/conf/00overlay")
    if args.kind == "overlay" and os.path.lexists(f"{args.dir}/etc/os-release"):
        hint = f"allie --root {args.dir} run-conf 00overlay"
        raise UsageError(f"{args.dir} is a system; an overlay is laid over it by its tick", hint)
    stall, store = configuration.DEFAULT_STALL, args.store
    if not store:
        locate.need_name(here)
        settings = part.settings_now(here, generation.current(here))
        store, stall = settings.stores[0], settings.stall
    notes = f"{here.state}/rsync" if os.path.isdir(here.state) else f"{args.dir}/.rsync-version"
    able = rsync.version(notes)
    if not os.path.isdir(here.state):
        atomic.remove(notes)
    words, show = console.progress(f"{args.kind} {args.name}")
    reach = rsync.transport(store, stall) + words
    large: list[str] = []

    def follow(output: bytes) -> None:
        large.extend(bringing.large(output))
        if show:
            show(output)

    def fetch(argv: list[str], names: bytes = b"") -> None:
        lines = process.by_line(follow)
        rsync.check(process.run(argv, stdin=names, stall=stall, on_output=lines), store)

    wanted = rsync.sources(store, [f"{args.kind}s/{args.name}"])
    if args.kind == "overlay":
        fetch(rsync.fetch(able, reach, [f"{wanted[0]}/"], args.dir, []))
    else:
        fetch(bringing.bring(able, reach, wanted[0], args.dir, only_little=True))
    if large:
        images = rsync.sources(store, ["images"])[0]
        names = bringing.names(args.name, large)
        fetch(bringing.bring_some(able, reach, images, args.dir), names)
    atomic.sync_filesystem(args.dir)
    return DONE
