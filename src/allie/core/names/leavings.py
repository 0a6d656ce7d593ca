"""Leavings: what tools leave beside the files of an overlay, and no PC places.

One list for all who ask: the fetch, which has the store hide them, so that they never come; the
views of the server; `overlay lint`, which names them. docs/reference/files.md shows it. It is for
overlays, which are edited by hand. Images are whole systems, and are copied with all they have.
"""

from __future__ import annotations

from allie.core.names import globs

# Names of files or directories, as globs that rsync and `core.names.globs` read alike. Every name
# of every overlay is compared with each at every tick, by the server, too: few is better.
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
