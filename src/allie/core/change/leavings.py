"""Leavings: what editors and other tools leave beside the files of an overlay. No PC places them.

The fetch has the store leave them out, the server's views pass them over, and `overlay lint` names
them. docs/reference/files.md shows the list. It is for overlays, which are edited by hand; images
are whole systems, and are copied with all that they have.
"""

from __future__ import annotations

from allie.core import globs

# Names of files or directories, as globs that rsync and `core.globs` read alike. Each is
# compared with every name of every overlay at every fetch, so the list is short.
PATTERNS = (
    ".git .hg .svn .bzr CVS .gitkeep"  # version control
    " *~ *.sw[n-px] *.kate-swp .#* #*# .~lock.*#"  # editors
    " .DS_Store ._* Thumbs.db .Trash-*"  # file managers
    " .nfs* .fuse_hidden* lost+found"  # file systems
).split()


def pattern_of(path: str) -> str:
    """The pattern by which a path, or a directory above it, is left out; "" if it is placed.

    >>> [pattern_of(path) for path in ("etc/.git/config", "etc/motd##host.pc07~", "etc/motd")]
    ['.git', '*~', '']
    """
    for name in path.split("/"):
        for pattern in PATTERNS:
            if globs.of_name(pattern).matches(name):
                return pattern
    return ""
