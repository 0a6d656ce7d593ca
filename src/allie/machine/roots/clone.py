"""Clone: make a second one of whatever stands somewhere, under a name that is free.

Content and holes, owner, mode, ACLs, attributes and times are the first one's; the new one is never
a hard link to it. Nothing is followed and nothing is overwritten. What is new is reached by the
descriptor that made it, so that whoever swaps it meanwhile is given nothing.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from allie.core.lean import suppress
from allie.machine.files import attributes, tree
from allie.machine.roots import paths
from allie.machine.roots.reach import Reach

_CLONE = 0x40049409  # linux/fs.h, FICLONE
_WORTH_SHARING = 1 << 17  # bytes: below, a copy costs less than the question
_PIECE = 1 << 20  # bytes, of what is copied at a time
_ANY = 1 << 63  # bytes, more than there are
_OPEN = os.O_NOFOLLOW | os.O_CLOEXEC


class Clones:
    """Clones several things, of which those that are one inode come out as one inode.

    They are to be kept, and to come back as they were: what the disk cannot store is an error.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[int, ...], str] = {}

    def make(self, source: str, target: str, *, most: int = _ANY) -> None:
        """Clone what stands at `source` as `target`. most: bytes that it may take on the disk."""
        st = os.lstat(source)
        # One of several links, or the last that is left of them; its number may be another's then.
        inode = st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns
        if inode in self._made:
            with suppress(FileNotFoundError):  # what was made was dropped since
                os.link(self._made[inode], target, follow_symlinks=False)
                return
        make(source, target, most=most, exact=True)
        if st.st_nlink > 1 and not stat.S_ISDIR(st.st_mode):
            self._made[inode] = target

    def whole(self, source: str, target: str, *, most: int = _ANY) -> None:
        """Clone what stands at `source`: of a directory, all that is in it.

        most: bytes that all of it may take on the disk. Raises OSError, and PathRefused where that
        is more than is walked (`tree.survey`), or changes meanwhile; then half of it may be there.
        """
        self.make(source, target, most=most)
        if not stat.S_ISDIR(os.lstat(target).st_mode):
            return
        directories = [""]
        with Reach(source) as reach:  # it may be a user's, who can put a link into our way
            for name, st in tree.survey(source):
                self.make(reach.path(name), f"{target}/{name}", most=most)
                most -= st.st_blocks * 512
                directories += [name] if stat.S_ISDIR(st.st_mode) else []
            for name in reversed(directories):  # their times, once all is in
                old = f"{paths.through(reach.directory(name))}/."
                describe_as(old, f"{target}/{name}" if name else target, exact=True)


def make(
    source: str, target: str, *, described: bool = True, most: int = _ANY, exact: bool = False
) -> None:
    """Clone one thing; a directory without what is in it.

    described: whether it gets the owner, mode, ACLs and attributes, too. most: bytes that it may
    take on the disk. exact: also where its file system has no ACLs or attributes: that is an error
    then. Raises OSError, and leaves nothing of it then: FileExistsError where something stands at
    `target`, else what the disk said.
    """
    st = os.lstat(source)
    if stat.S_ISREG(st.st_mode):
        make_file(source, target, described=described, most=most, exact=exact)
        return
    if stat.S_ISDIR(st.st_mode):
        os.mkdir(target, 0o700)
    elif stat.S_ISLNK(st.st_mode):
        os.symlink(os.readlink(source), target)
    else:
        os.mknod(target, stat.S_IFMT(st.st_mode) | 0o600, st.st_rdev)
    try:
        if described:
            describe_as(source, target, exact=exact)
    except OSError:
        (os.rmdir if stat.S_ISDIR(st.st_mode) else os.unlink)(target)
        raise


def move(path: str, target: str) -> None:
    """Move something of our own; as a copy where it cannot be renamed there. Raises OSError.

    overlayfs renames no directory of its lower layer (EXDEV), though all is one file system.
    """
    try:
        os.rename(path, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        Clones().whole(path, target)
        tree.remove(path)


def describe_as(source: str, target: str, *, times: bool = True, exact: bool = False) -> None:
    """Give what stands at `target` the owner, mode, ACLs and attributes of `source`, and its times.

    Both must be of one kind. exact: as for `make`. Raises OSError.
    """
    st = os.lstat(source)
    descriptor = os.open(target, os.O_PATH | _OPEN)
    try:
        if stat.S_IFMT(os.fstat(descriptor).st_mode) != stat.S_IFMT(st.st_mode):
            raise FileExistsError(errno.EEXIST, "something else has come there", target)
        _describe(tree.xattrs(source), st, paths.through(descriptor), times=times, exact=exact)
    finally:
        os.close(descriptor)


def make_file(
    source: str,
    target: str,
    *,
    into: int | None = None,
    described: bool = True,
    most: int = _ANY,
    exact: bool = False,
) -> tuple[os.stat_result, str]:
    """The same for what is a regular file: its lstat then, and the digest of its attributes.

    into: an open directory, in which `target` is a name.
    """
    old = os.open(source, os.O_RDONLY | os.O_NONBLOCK | _OPEN)
    try:
        st = os.fstat(old)
        if not stat.S_ISREG(st.st_mode) or st.st_blocks * 512 > most:
            raise OSError(errno.EFBIG, "it has just become something else, or larger", source)
        new = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN, 0o600, dir_fd=into)
        try:
            _content(old, new, st)
            if described:
                extended = _describe(tree.xattrs(old, follow=True), st, new, exact=exact)
            else:
                os.utime(new, ns=(st.st_atime_ns, st.st_mtime_ns))
                extended = tree.xattrs(new, follow=True)
            made = os.fstat(new)
            return made, tree.attributes_of(made, extended)
        except OSError:
            os.unlink(target, dir_fd=into)
            raise
        finally:
            os.close(new)
    finally:
        os.close(old)


def _content(old: int, new: int, st: os.stat_result) -> None:
    """Share the blocks where the file system can; else copy, and leave its holes holes."""
    if st.st_size >= _WORTH_SHARING:
        with suppress(OSError):  # another disk, or one that shares nothing
            fcntl.ioctl(new, _CLONE, old)
            return
    if st.st_blocks * 512 >= st.st_size:
        _copy(old, new, st.st_size)
        return
    os.ftruncate(new, st.st_size)
    end = 0
    while end < st.st_size:
        try:
            begin = os.lseek(old, end, os.SEEK_DATA)
        except OSError:  # ENXIO: holes up to the end
            return
        end = os.lseek(old, begin, os.SEEK_HOLE)
        os.lseek(old, begin, os.SEEK_SET)
        os.lseek(new, begin, os.SEEK_SET)
        _copy(old, new, end - begin)


def _copy(old: int, new: int, left: int) -> None:
    """Copy so many bytes from where both stand, or up to the end, and not what is added since."""
    while left > 0:
        piece = os.read(old, min(left, _PIECE))
        if not piece:
            return
        left -= len(piece)
        while piece:
            piece = piece[os.write(new, piece) :]


def _describe(
    wanted: dict[str, bytes],
    st: os.stat_result,
    target: str | int,
    *,
    times: bool = True,
    exact: bool = False,
) -> dict[str, bytes]:
    """Give owner, mode, attributes and times, in this order; the attributes that it then has.

    A change of the owner takes away capabilities and the set-user-id bit. What the file system has
    none of (owners, modes, ACLs, attributes) is passed over, unless exact; what it stored is looked
    at afterwards. target: a descriptor, or the way through one that is O_PATH, by which a symlink
    itself is described.
    """
    mode = stat.S_IMODE(st.st_mode)
    try:
        os.chown(target, st.st_uid, st.st_gid)
    except PermissionError:
        pass  # vfat has no owners
    try:
        if not stat.S_ISLNK(st.st_mode):
            os.chmod(target, mode)
    except PermissionError:
        pass
    inherited = tree.xattrs(target, follow=True)
    for name in inherited.keys() - wanted.keys():  # as the default ACL of a directory gives one
        os.removexattr(target, name)
    for name, value in wanted.items():
        if inherited.get(name) == value or _has_set(target, name, value):
            continue
        if exact:
            raise OSError(errno.ENOTSUP, f"its attribute {name} cannot be kept there", target)
        if name == attributes.ACL:
            with suppress(PermissionError):
                os.chmod(target, attributes.mode_without(value, mode))
    if times:
        os.utime(target, ns=(st.st_atime_ns, st.st_mtime_ns))
    return tree.xattrs(target, follow=True) if wanted or inherited else {}


def _has_set(target: str | int, name: str, value: bytes) -> bool:
    """Set an attribute; False where the file system has none of its kind.

    ext4 says ENOSPC where it is too large for it: that is not a full disk.
    """
    try:
        os.setxattr(target, name, value)
        return True
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.EPERM):
            return False
        if error.errno not in (errno.ENOSPC, errno.E2BIG, errno.ERANGE):
            raise
        words = f"the attribute {name} of {len(value)} bytes does not fit on that file system"
        raise OSError(errno.E2BIG, words, target) from error
