"""Boot a system of this PC in a virtual machine, on a copy that is thrown away, or with --keep.

The console is this terminal; Ctrl-A X ends the machine.
"""

from __future__ import annotations

import os

from allie.cli import options
from allie.cli.options import ArgumentParser, Namespace
from allie.client.use import vm
from allie.core.errors import DONE, StateError, UsageError


def add_arguments(parser: ArgumentParser) -> None:
    """Which system, and on what machine."""
    cpus = min(os.cpu_count() or 1, 2)
    parser.add_argument("system", help="a name in allie.conf")
    parser.add_argument(
        "--memory", type=options.number, default=1024, metavar="MIB", help="default: 1024"
    )
    parser.add_argument(
        "--cpus", type=options.number, default=cpus, metavar="N", help="default: 2 at most"
    )
    parser.add_argument("--keep", action="store_true", help="what it writes stays: no copy")
    parser.add_argument(
        "--accel", choices=("auto", "kvm", "tcg"), default="auto", help="auto: KVM if it works"
    )


def run(args: Namespace) -> int:
    """Boot it, until it is switched off."""
    if os.geteuid():
        raise StateError("a machine reads all of a system's files", "run this as root")
    if args.memory < 128 or args.cpus < 1:
        raise UsageError("a machine needs --memory 128 and --cpus 1 at least")
    code = vm.boot(args.system, args.memory, args.cpus, args.accel, keep=args.keep)
    if code:
        raise StateError(f"{vm.PROGRAM} ended with {code}", "what it said stands above")
    return DONE
