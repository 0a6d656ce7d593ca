"""Offer a hand fix: a file of the overlays that was changed here by hand.

allie adopt PATH               show how it differs from the store's file; ask, and offer it
allie adopt --list             what this PC offers
allie adopt --withdraw PATH    offer it no more
"""

from __future__ import annotations

from allie.cli import options
from allie.cli.options import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    """Which file."""
    parser.add_argument("path", nargs="?", help="the file")
    options.add_root(parser)


def run(args: Namespace) -> int:
    """Show the difference, ask, and offer it."""
    raise NotImplementedError
