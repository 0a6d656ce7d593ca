"""Have a program of another system start by its name, on the base and in every system.

Makes a small script in ~/.local/bin, for root in /usr/local/bin. To undo it, remove the script.
"""

from __future__ import annotations

import os

from allie.cli.options import ArgumentParser, Namespace
from allie.client.use import enter, export
from allie.core.errors import DONE, UsageError
from allie.machine import console


def add_arguments(parser: ArgumentParser) -> None:
    """Which program of which system, under which name."""
    parser.add_argument("system", help="a name in allie.conf")
    parser.add_argument("program", help="its name, or its path in that system")
    parser.add_argument("--as", dest="name", metavar="NAME", help="start it by this name")
    parser.add_argument("--to", metavar="DIR", help="where the script goes")


def run(args: Namespace) -> int:
    """Make the script, and say where."""
    program = export.find_program(enter.root_of(args.system), args.program)
    name = args.name or os.path.basename(program)
    if "/" in name or name in ("", ".", ".."):
        raise UsageError(f"--as {name}: that is no name for a program")
    folder = os.path.abspath(args.to or export.default_folder())
    path = f"{folder}/{name}"
    export.write_shim(args.system, program, path)
    console.say(f"{path}: {program} of {args.system}")
    if folder not in os.environ.get("PATH", "").split(":"):
        console.warn(f"{folder} is not in your PATH: {name} alone will not start it")
    return DONE
