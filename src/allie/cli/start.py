"""How the client archive begins once its code can be loaded; `allie enter` has a shorter way."""

from __future__ import annotations

import os
import sys


def main(loaded: bool) -> int:
    """Run the command line. loaded: whether from unpacked code (machine.code.cache)."""
    verb, *words = sys.argv[1:] or [""]
    if loaded and verb == "enter" and words[:1] not in (["--help"], ["-h"]):
        from allie.cli.enter import main as command_line  # noqa: PLC0415 - and nothing else
    else:
        from allie.cli.main import main as command_line  # noqa: PLC0415
    code = command_line(sys.argv[1:])
    os._exit(code)  # taking every module apart again would cost 3 ms and change nothing
