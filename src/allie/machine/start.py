"""The archive's own beginning: find ALLiE's unpacked, compiled code and go on from there.

This file stands in the archive a second time as `start.py`, and is compiled anew by every `allie`
that anybody types: so it is short. Code that is not unpacked yet runs from the archive, and
`cli.main` has `machine.loader` unpack it for the next time.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what `signal` takes 2 ms to make names for
import marshal
import os
import stat
import sys

CODE = "/var/lib/allie-code"  # see machine.loader
HOST = "/run/host"  # where the base is seen inside another system: machine.userland
_NOBODY = 65534
_SIGINT = 2
MODULES = f"modules.{sys.implementation.cache_tag}"


def mark_of(archive: str) -> str:
    """What tells one archive, run by one Python, from any other: a line of a `complete` file."""
    st = os.stat(archive)
    return f"{st.st_ino} {st.st_ctime_ns} {st.st_size} {sys.implementation.cache_tag}"


def is_roots(place: str) -> bool:
    """Whether only root can have written there.

    Inside another system a user sees root, as all others, by the number of nobody.
    """
    st = os.lstat(place)
    owners = (0, _NOBODY) if place.startswith(f"{HOST}/") else (0,)
    return stat.S_ISDIR(st.st_mode) and st.st_uid in owners and not st.st_mode & 0o022


def find(archive: str) -> str:
    """The unpacked code of this archive; "" if there is none."""
    code = HOST + CODE if archive.startswith(f"{HOST}/") else CODE
    try:
        mark = mark_of(archive)
        for name in os.listdir(code):
            place = f"{code}/{name}"
            with open(f"{place}/complete", encoding="utf-8") as known:
                if mark in known.read().splitlines() and is_roots(place):
                    return place
    except OSError:
        pass
    return ""


def load_from(place: str) -> None:
    """From now on import ALLiE from its unpacked code."""
    with open(f"{place}/{MODULES}", "rb") as file:
        table = marshal.load(file)
    finder: dict[str, object] = {"__name__": "allie.machine.modules"}
    exec(marshal.loads(table["allie.machine.modules"][2]), finder)
    finder["install"](place, table)  # type: ignore[operator]


def main() -> int:
    """Run the command line from the best form of the code that there is."""
    if _signal.getsignal(_SIGINT) is _signal.default_int_handler:
        _signal.signal(_SIGINT, _signal.SIG_DFL)  # nothing is begun yet that wants to be ended well
    # Absolute: a script's process, which stands in another directory, may still import from here.
    sys.path[0] = sys.argv[0] = os.path.abspath(sys.argv[0])
    place = find(os.path.realpath(sys.path[0]))
    if place:
        load_from(place)
    verb, *words = sys.argv[1:] or [""]
    if place and verb == "enter" and words[:1] not in (["--help"], ["-h"]):  # the short way
        from allie.cli.enter import main as command_line  # noqa: PLC0415 - found only now
    else:
        from allie.cli.main import main as command_line  # noqa: PLC0415
    code = command_line(sys.argv[1:])
    os._exit(code)  # taking every module apart again would cost 3 ms and change nothing
