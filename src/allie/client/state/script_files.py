"""The files of conf scripts in /root/conf, read before one runs."""

from __future__ import annotations

import os
import stat

from allie.core.errors import PathRefused
from allie.core.system import System
from allie.core.value import Value
from allie.machine.files import atomic
from allie.machine.roots import paths


class Script(Value):
    """A conf script as it was read, before it runs."""

    name: str
    content: bytes
    executable: bool


def read(here: System, name: str) -> Script | None:
    """A conf script, or None where the name is no regular file (or a link to one in the root).

    Raises StateError where it is too large to be read.
    """
    path = f"{here.conf}/{name}"
    try:
        st = os.lstat(path)
        if stat.S_ISLNK(st.st_mode):
            inside = paths.Inside(here.root)
            path = inside.prefix + inside.file(path[len(inside.prefix) :])
            st = os.lstat(path)
    except (OSError, PathRefused):
        return None
    if not stat.S_ISREG(st.st_mode):
        return None
    content = atomic.read_bytes(path)
    return None if content is None else Script(name, content, bool(st.st_mode & 0o111))
