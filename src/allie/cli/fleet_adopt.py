"""Take a hand fix that a PC offers into an overlay.

allie fleet adopt              what is offered
allie fleet adopt HOST PATH    show it, and who else would get it; ask, and take it
"""

from __future__ import annotations

from allie.cli import options
from allie.cli.options import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    """Whose, and which."""
    parser.add_argument("host", nargs="?", help="the PC")
    parser.add_argument("path", nargs="?", help="the file, as the PC names it")
    options.add_store(parser)


def run(args: Namespace) -> int:
    """Show it, or take it."""
    raise NotImplementedError
