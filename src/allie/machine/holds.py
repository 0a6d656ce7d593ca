"""What a file system can hold of a file's attributes: vfat has no owners, and hardly a mode.

Asked only where what was just written does not stand as it was meant.
"""

from __future__ import annotations

import os
from contextlib import suppress

from allie.core.errors import PathRefused
from allie.machine import paths, tree


def attributes(root: str, real: str, wanted: str) -> str:
    """The attributes that a path has once it was told to have these: as far as its disk goes."""
    try:
        with paths.parent_descriptor(root, real) as (parent, name):
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(name, flags, dir_fd=parent)
    except (OSError, PathRefused):
        return wanted  # a link, a device: or it is gone
    try:
        mode, uid, gid = wanted.split(" ")[:3]
        st = os.fstat(descriptor)
        with suppress(PermissionError):
            os.fchown(descriptor, int(uid), int(gid))
        with suppress(PermissionError):
            os.fchmod(descriptor, int(mode, 8))
        st = os.fstat(descriptor)
        held = (st.st_mode & 0o7777, st.st_uid, st.st_gid) == (int(mode, 8), int(uid), int(gid))
        return wanted if held else tree.attributes_digest(f"{root}/{real}", st)
    finally:
        os.close(descriptor)
