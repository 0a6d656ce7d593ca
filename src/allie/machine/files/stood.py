"""Compare what stood at many paths with what stands there now, by lstat, as fast as Python can.

Also run by the quick tick (`client.state.quick_tick`), before anything else of ALLiE: so it imports
only what the interpreter has built in.
"""

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _collections_abc import Callable, Sequence
    from typing import Union

    Stood = Union[tuple[int, ...], str, None]

# What stood at a path: all that lstat said, as numbers; or the one thing that matters of it
NOTHING, DIRECTORY, NEITHER = None, "d", "n"  # NEITHER: no directory, no symlink, perhaps nothing
LINK = "l"  # of which all is noted
_OTHERS_WRITE = 0o022  # the group's bits are the mask of an ACL, too
NOWHERE = (2, 20, 36, 40)  # ENOENT, ENOTDIR, ENAMETOOLONG, ELOOP: nothing stands there, or can


def all_stand(
    prefix: str,
    paths: "Sequence[str]",
    stood: "Sequence[Stood]",
    look: "Callable[[str], posix.stat_result]" = posix.lstat,
) -> bool:
    """Whether at each of these paths stands what stood there."""
    for path, was in zip(paths, stood):
        try:
            st = look(prefix + path)
        except OSError as error:
            if error.errno in NOWHERE and (was is NOTHING or was == NEITHER):
                continue
            return False
        if _all_of(st) != was and way_of(st) != was:
            return False
    return True


def standing(path: str, look: "Callable[[str], posix.stat_result]" = posix.lstat) -> "Stood":
    """What stands at a path, for a note. Raises OSError where nobody can tell."""
    try:
        return _all_of(look(path))
    except OSError as error:
        if error.errno in NOWHERE:
            return NOTHING
        raise


def way(path: str) -> "Stood":
    """What of a path decides where a path through it leads."""
    try:
        st = posix.lstat(path)
    except OSError as error:
        if error.errno in NOWHERE:
            return NEITHER
        raise
    word = way_of(st)
    return _all_of(st) if word == LINK else word


def way_of(st: "posix.stat_result") -> str:
    """A word for where a path through here leads: of a directory also whether links below count."""
    kind = st.st_mode & 0o170000
    if kind == 0o040000:
        return f"{DIRECTORY}{st.st_uid}" if taints(st) else DIRECTORY
    return LINK if kind == 0o120000 else NEITHER


def taints(st: "posix.stat_result") -> bool:
    """Whether others than root can change the names in a directory."""
    return st.st_uid != 0 or bool(st.st_mode & _OTHERS_WRITE)


def _all_of(st: "posix.stat_result") -> "tuple[int, ...]":
    return (st.st_ino, st.st_ctime_ns, st.st_size, st.st_mtime_ns, st.st_mode, st.st_uid, st.st_gid)


def has_room(place: str, least: int, files: int) -> bool:
    """Whether a disk takes so many bytes and files more."""
    disk = posix.statvfs(place)
    # A file system that does not count says 0 of 0: ramfs, some of FUSE; btrfs of inodes.
    no_blocks = disk.f_blocks and disk.f_bfree * disk.f_frsize < least
    return not (no_blocks or (disk.f_files and disk.f_ffree < files))
