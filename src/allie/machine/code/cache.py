"""Find the unpacked, compiled code of a client archive, and load ALLiE from there.

This file stands in the archive a second time, as the beginning of its `start.py` (server.kit), and
is compiled anew by every `allie` that anybody types: so it is short, and imports nothing of ALLiE.
Code that is not unpacked yet is unpacked by `cli.start`, or runs from the archive.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what `signal` takes 2 ms to make names for
import marshal
import os
import stat
import sys

CODE = "/var/lib/allie-code"  # see machine.code.unpack
HOST = "/run/host"  # where the base is seen inside another system: machine.namespaces.userland
QUICK = "code-"  # so begin the names of the quick tick's code
_NOBODY = 65534
_SIGINT = 2
MODULES = f"modules.{sys.implementation.cache_tag}"
# module → (is it a package, its file relative to the top, begin and end of its marshalled code)
Index = dict[str, tuple[bool, str, int, int]]


def quick_name(archive: str) -> str:
    """The file in the state's `quick/` that an archive begins with: see `stubs.BEGIN`."""
    return f"{QUICK}{mark_of(archive).replace(' ', '-')}"


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


def index_of(body: bytes) -> Index:
    """Where in a file of compiled code each module's is: see `machine.code.unpack.packed`."""
    index: Index = marshal.loads(body[int.from_bytes(body[:8], "little") :])
    return index


def load_from(place: str) -> None:
    """From now on import ALLiE from its unpacked code."""
    with open(f"{place}/{MODULES}", "rb") as file:
        body = file.read()
    index, name = index_of(body), "allie.machine.code.finder"
    finder: dict[str, object] = {"__name__": name}
    _, _, begin, end = index[name]
    exec(marshal.loads(body[begin:end]), finder)
    finder["install"](place, index, body)  # type: ignore[operator]


def load() -> bool:
    """Import ALLiE from its unpacked code from now on, if there is some; whether there is."""
    if _signal.getsignal(_SIGINT) is _signal.default_int_handler:
        _signal.signal(_SIGINT, _signal.SIG_DFL)  # nothing is begun yet that wants to be ended well
    # Absolute: a script's process, which stands in another directory, may still import from here.
    sys.path[0] = sys.argv[0] = os.path.abspath(sys.argv[0])
    place = find(os.path.realpath(sys.path[0]))
    if place:
        load_from(place)
    return bool(place)
