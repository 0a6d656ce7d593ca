"""Look after this PC's other systems: fetch the missing ones, tick each one that is there.

This is 98systems, a conf script of the kit. On a PC that boots by ALLiE's menu it also keeps that
up to date. In a sibling it does nothing.
"""

from __future__ import annotations

from allie.cli import options
from allie.client.systems import look_after
from allie.core.value import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options of its own."""
    options.add_root(parser)


def run(args: argparse.Namespace) -> int:
    """Do it once, as the tick does."""
    return look_after.work(options.system_of(args))
