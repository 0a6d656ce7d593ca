"""Look after this PC's other systems: fetch the missing ones, tick each one that is there.

This is 98systems, a conf script of the kit. On a PC that boots by ALLiE's menu it also keeps that
up to date. In a sibling it does nothing.
"""

from __future__ import annotations

from allie.cli import options
from allie.cli.options import Namespace
from allie.client.systems import look_after

add_arguments = options.add_root


def run(args: Namespace) -> int:
    """Do it once, as the tick does."""
    return look_after.work(options.system_of(args))
