"""What a file system stores of a file: ACLs and extended attributes, and the mode without an ACL.

Some have neither (vfat, ramfs, NFS, much of FUSE); older kernels have no attributes of users on
tmpfs. Whether one has them is tried, since no list of kinds is right everywhere.
"""

from __future__ import annotations

import errno
import os
import stat

from allie.core.lean import suppress

ACL = "system.posix_acl_access"
_HEAD = b"\2\0\0\0"  # linux/posix_acl_xattr.h: the version
_NOBODY = b"\xff\xff\xff\xff"  # where an entry names nobody
_ITSELF, _GROUP_ITSELF, _MASK, _OTHERS = 0x01, 0x04, 0x10, 0x20  # linux/posix_acl.h: its entries
_NAMED = (0x02, 0x08)


def tried(directory: str) -> tuple[bool, bool, bool]:
    """(ACLs, attributes, attributes of users) that a directory can have. Changes nothing of it."""
    mode = stat.S_IMODE(os.stat(directory).st_mode)
    try:
        os.getxattr(directory, ACL)
        acls = True
    except OSError as error:
        # An ACL that says no more than the mode is taken, and not stored: so only trying tells.
        acls = error.errno == errno.ENODATA and _takes(directory, ACL, of_mode(mode))
    return acls, _takes(directory, "trusted.allie"), _takes(directory, "user.allie")


def of_mode(mode: int) -> bytes:
    """The ACL that says just what a mode says."""
    entries = ((_ITSELF, mode >> 6), (_GROUP_ITSELF, mode >> 3), (_OTHERS, mode))
    return _HEAD + b"".join(bytes((tag, 0, may & 7, 0)) + _NOBODY for tag, may in entries)


def mode_without(acl: bytes, mode: int) -> int:
    """The mode of a file whose ACL cannot be stored: nobody may do more by it than by the ACL.

    With an ACL the group's bits of a mode are the mask of all that the ACL names, and not what the
    file's own group may do.
    """
    group = named = mask = 7
    for at in range(len(_HEAD), len(acl), 8):
        tag, may = acl[at], acl[at + 2]
        if tag == _GROUP_ITSELF:
            group = may
        elif tag == _MASK:
            mask = may
        elif tag in _NAMED:
            named &= may
    named &= mask
    return mode & ~0o077 | (mode >> 3 & group & named) << 3 | (mode & named & 7)


def _takes(directory: str, name: str, value: bytes = b"1") -> bool:
    try:
        os.setxattr(directory, name, value)
    except OSError:
        return False
    with suppress(OSError):
        os.removexattr(directory, name)
    return True
