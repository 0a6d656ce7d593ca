"""Make the next version of an image from an archive (tar, OCI), or of packages (mmdebstrap).

These begin anew each time; one that fails or is killed leaves nothing worth keeping.

docs/internals/rules.md, "Labels are the machine's own".
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Sequence

from allie.core.errors import AllieError, StoreError
from allie.core.value import Value
from allie.machine import console
from allie.machine.files import attributes, tree
from allie.machine.programs import process
from allie.machine.roots import paths, within
from allie.server.images import draft, from_tree, oci
from allie.server.images.draft import Draft
from allie.server.images.oci import Wanted

DEBIAN = "mmdebstrap:"
# What is said beside the cause, and often before it: no more is an archive's own
_ASIDE = re.compile(
    r"(?i:exit)|^tar: (Removing leading|Ignoring unknown"
    r"|.*: (time stamp|implausibly old time stamp) )"
)
# tar ends with 0 where an archive was cut short between two files, and at a block of zeros among
# them, as where one was appended to another. With -i it goes on; -R shows what stands at the end.
_ENDS = re.compile(rb"\*\* Block of NULs \*\*\n.*\*\* End of File \*\*\n\Z")
# And where the disk did not take what makes a file more than its content: tar, umoci
_LOST = re.compile(
    r"setxattrat: Cannot set '(security\.capability|system\.posix_acl|trusted|user)"
    r"|ignoring ENOTSUP on setxattr"
)
# As everywhere: these are the machine's, not the file's.
_FOREIGN = ("security.selinux", "security.ima", "trusted.overlay.*")


class Recipe(Value):
    """How mmdebstrap is to make a Debian."""

    suite: str
    variant: str = "important"
    include: str = ""
    mirror: str = ""


def is_container(top: str) -> bool:
    """Whether a directory holds images of containers: an OCI layout, or what docker saved."""
    return oci.is_layout(top) or oci.is_docker(top)


def from_tar(work: Draft, archive: str, wanted: Wanted) -> None:
    """Unpack a tar of any compression; an OCI archive is a tar of an OCI layout."""
    draft.empty(work)
    # --force-local: tar takes a name with a colon for a file on another machine
    argv = ["tar", "-x", "-i", "-R", "-p", "--force-local", "-f", archive, "-C", work.tree]
    argv += ["--numeric-owner", "--xattrs", "--xattrs-include=*"]
    argv += [f"--xattrs-exclude={name}" for name in _FOREIGN]
    if attributes.tried(work.tree)[0]:
        argv.append("--acls")
    else:  # of which tar would say so for each file, whether it has one or not
        console.warn(f"the disk under {work.top} keeps no ACLs: any that {archive} has are lost")
    hint = f"is it a tar, and whole? file {shlex.quote(archive)}"
    if not _ENDS.search(_run(work, argv, archive, hint)):
        draft.drop(work)
        words = "get it again; or unpack it yourself, and import the directory"
        raise StoreError(f"{archive} has no end: it was cut short", words)
    if is_container(work.tree):
        if oci.is_layout(work.tree):
            _need_plain(work, archive)
        os.rename(work.tree, work.source)
        _from_layout(work, work.source, wanted, archive)


def from_layout(work: Draft, layout: str, wanted: Wanted) -> None:
    """Unpack an image of containers' from a directory."""
    draft.empty(work)
    os.rmdir(work.tree)
    _from_layout(work, os.path.realpath(layout), wanted, layout)


def from_packages(work: Draft, recipe: Recipe) -> None:
    """Have mmdebstrap make a Debian."""
    from_tree.need_program("mmdebstrap", "mmdebstrap")
    draft.empty(work)
    argv = ["mmdebstrap", "--format=directory", f"--variant={recipe.variant}"]
    argv += [f"--include={recipe.include}"] if recipe.include else []
    argv += [recipe.suite, work.tree, *([recipe.mirror] if recipe.mirror else [])]
    _run(work, argv, f"{DEBIAN}{recipe.suite}")
    for name in ("etc/hostname", "etc/resolv.conf"):  # copies of this machine's
        within.remove(work.tree, paths.Inside(work.tree).entry(name))


def _from_layout(work: Draft, layout: str, wanted: Wanted, shown: str) -> None:
    """Let umoci apply the layers of one image.

    umoci wants a tag, which not every layout has: it gets a layout of ours, with the same blobs. It
    takes all behind a colon for the tag, so it is given no path of the store's.
    """
    from_tree.need_program("umoci", "umoci")
    ours, bundle = f"{work.top}/layout", f"{work.top}/bundle"
    try:
        oci.lay_out(layout, wanted, ours, shown)
    except AllieError:
        draft.drop(work)
        raise
    place = os.open(ours, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        image = f"/proc/{os.getpid()}/fd/{place}:{oci.CHOSEN}"
        _run(work, ["umoci", "unpack", "--image", image, bundle], shown)
    finally:
        os.close(place)
    os.rename(f"{bundle}/rootfs", work.tree)


def _need_plain(work: Draft, shown: str) -> None:
    """Raise StoreError where a layout out of an archive has more than files and directories.

    A link in it could hand this server's own files to whatever reads the layout, a fifo stop it.
    """
    for path, is_dir in tree.listing(work.tree):
        if not is_dir and not stat.S_ISREG(os.lstat(f"{work.tree}/{path}").st_mode):
            draft.drop(work)
            raise StoreError(f"{shown}: {path} in it is no regular file", "no OCI image has such")


def _run(work: Draft, argv: Sequence[str], shown: str, hint: str = "") -> bytes:
    """Run an unpacking program; what it says. Where it fails, nothing is left but the room.

    hint: what to look at then; "": the program's command line, which can be tried by hand.
    """
    done = process.run(argv)
    said = done.err.decode(errors="replace")
    lost = next(filter(_LOST.search, said.splitlines()), "")
    if done.code == 0 and not lost:
        return done.out
    draft.drop(work)
    if lost and done.code == 0:
        words = f"the disk under {work.top} does not take an attribute that a file of {shown} has"
        raise StoreError(f"{words}: {lost.strip(' •')}", "ext4, xfs and btrfs do")
    if done.full_disk:
        words = f"the disk under {work.top} is full: {done.full_disk}"
        raise StoreError(words, "make room; nothing is left")
    lines = [line for line in said.splitlines() if line.strip() and not _ASIDE.search(line)]
    errors = [line[3:] for line in lines if line.startswith("E: ")]  # apt's, the cause first
    words = next((line.strip() for line in errors or lines), "") or done.last_words()
    raise StoreError(f"{shown}: {words}", hint or done.command)
