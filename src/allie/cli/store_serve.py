"""Serve a store with rsync's own daemon, in the foreground."""

from __future__ import annotations

from allie.cli import options
from allie.cli.options import ArgumentParser, Namespace
from allie.machine import console
from allie.server import places, serve


def add_arguments(parser: ArgumentParser) -> None:
    """Which store, and where it listens."""
    options.add_store(parser)
    parser.add_argument("--address", default="", help="listen here (everywhere)")
    parser.add_argument("--port", type=int, default=places.RSYNC_PORT, help="and here (873)")


def run(args: Namespace) -> int:
    """Serve until somebody ends it."""
    words = f"serving {args.store} on port {args.port}; Ctrl-C ends it"
    return serve.serve(args.store, args.address, args.port, lambda: console.warn(words))
