"""`allie export`: a small script, so that a program of another system starts by its name.

The script names the program by its whole path: it may itself be found under the program's name, in
a home that both systems share. It works on the base and inside any system.
"""

from __future__ import annotations

import os
import shlex

from allie.core.conf import settings
from allie.core.errors import StateError
from allie.machine.files import atomic
from allie.machine.namespaces import userland
from allie.machine.roots import within

_SIGN = "# made by: allie export "
_SHIM = """\
#!/bin/sh
{sign}{words}; to undo it, remove this file
allie={inside}; [ -x $allie ] || allie=/usr/local/bin/allie
exec $allie enter {system} -- {program} "$@"
"""


def find_program(root: str, program: str) -> str:
    """The absolute path of a program inside a root, looked for where systems have programs.

    Raises StateError where it is not there.
    """
    found = within.program(root, program)
    if not found:
        places = [program] if program.startswith("/") else [f"/{each}" for each in within.PROGRAMS]
        hint = f"looked for: {' '.join(places)}"
        raise StateError(f"there is no program {program} in {root}", hint)
    return f"/{found}"


def default_folder() -> str:
    """Where shims go: everybody's for root, else the user's own."""
    if os.geteuid() == 0:
        return "/usr/local/bin"
    return os.path.expanduser("~/.local/bin")


def write_shim(system: str, program: str, path: str) -> None:
    """Make the script. Raises StateError where something else stands in its place."""
    settings.check_name(system, "system")
    if not program.isprintable():  # a newline would begin a line of the script
        raise StateError(f"{program}: no program with such a name is exported", "give it a link")
    there = atomic.read_bytes(path)
    if os.path.lexists(path) and (there is None or _SIGN.encode() not in there[:200]):
        raise StateError(
            f"{path} is there already, and was not made by allie export",
            "--as NAME gives the program another name, --to DIR another place",
        )
    words = f"{system} {shlex.quote(program)}"
    names = {"inside": userland.COMMAND, "system": system, "program": shlex.quote(program)}
    text = _SHIM.format(sign=_SIGN, words=words, **names)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    atomic.write(path, text, 0o755)
