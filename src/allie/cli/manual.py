"""Show a man page: `allie help`, `allie help conf`, `allie help enter`, …"""

from __future__ import annotations

import pkgutil

from allie.core.errors import DONE, UsageError
from allie.core.value import TYPE_CHECKING
from allie.machine import console

if TYPE_CHECKING:
    import argparse


PAGES = {
    "allie": "allie.8.md",
    "system": "allie-system.8.md",
    "enter": "allie-enter.8.md",
    "run-conf": "allie-run-conf.8.md",
    "image": "allie-image.8.md",
    "conf": "allie.conf.5.md",
    "tags": "allie-tags.7.md",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which page."""
    parser.add_argument("page", nargs="?", default="allie", help=", ".join(PAGES))


def run(args: argparse.Namespace) -> int:
    """Print the page's text; it is Markdown, which reads well as it is."""
    if args.page not in PAGES:
        raise UsageError(f"there is no page {args.page!r}", "pages: " + ", ".join(PAGES))
    page = pkgutil.get_data("allie", f"man/{PAGES[args.page]}")
    console.say_text((page or b"").decode())
    return DONE
