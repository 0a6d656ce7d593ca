"""How the client archive begins once its code can be loaded; `allie enter` has a shorter way."""

from __future__ import annotations

import os
import sys


def main(loaded: bool) -> int:
    """Run the command line. loaded: whether from unpacked code (machine.code.cache).

    An archive that root runs for the first time is unpacked. From it each module is compiled twice:
    so nothing else is imported before, and what this took is imported anew.
    """
    if not loaded and os.geteuid() == 0:
        from allie.machine.code import cache, unpack  # noqa: PLC0415

        place = unpack.unpack(os.path.realpath(sys.path[0]))
        if place:
            for name in [name for name in sys.modules if name.partition(".")[0] == "allie"]:
                del sys.modules[name]
            cache.load_from(place)
            loaded = True
    verb, *words = sys.argv[1:] or [""]
    if loaded and verb == "enter" and words[:1] not in (["--help"], ["-h"]):
        from allie.cli.enter import main as command_line  # noqa: PLC0415 - and nothing else
    else:
        from allie.cli.main import main as command_line  # noqa: PLC0415
    code = command_line(sys.argv[1:])
    os._exit(code)  # taking every module apart again would cost 3 ms and change nothing
