"""Make the next version of an image from an archive (tar, OCI), or of packages (mmdebstrap).

These begin anew each time; one that fails or is killed leaves nothing worth keeping.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Sequence

from allie.core.errors import StoreError, UsageError
from allie.core.value import Value
from allie.machine import atomic, paths, process, tree, within
from allie.server import bring, parts
from allie.server.parts import Part

DEBIAN = "mmdebstrap:"
_TAG = "org.opencontainers.image.ref.name"  # image-spec, annotations
_CHOSEN = "chosen"
_LARGEST_INDEX = 16 << 20  # bytes
# As everywhere (RULES B3): these are the machine's, not the file's.
_FOREIGN = ("security.selinux", "security.ima", "trusted.overlay.*")


class Recipe(Value):
    """How mmdebstrap is to make a Debian."""

    suite: str
    variant: str = "important"
    include: str = ""
    mirror: str = ""


def is_oci(top: str) -> bool:
    """Whether a directory is an OCI image layout."""
    return all(within.is_file(top, each) for each in ("oci-layout", "index.json"))


def from_tar(part: Part, archive: str, tag: str) -> None:
    """Unpack a tar of any compression; an OCI archive is a tar of an OCI layout."""
    parts.empty(part)
    argv = ["tar", "-x", "-p", "-f", archive, "-C", part.tree, "--numeric-owner", "--acls"]
    argv += ["--xattrs", "--xattrs-include=*", *(f"--xattrs-exclude={name}" for name in _FOREIGN)]
    _run(part, argv, archive)
    if is_oci(part.tree):
        _need_plain(part, archive)
        os.rename(part.tree, part.source)
        _from_layout(part, part.source, tag, archive)


def from_layout(part: Part, layout: str, tag: str) -> None:
    """Unpack the image of an OCI layout."""
    parts.empty(part)
    os.rmdir(part.tree)
    _from_layout(part, os.path.realpath(layout), tag, layout)


def from_packages(part: Part, recipe: Recipe) -> None:
    """Have mmdebstrap make a Debian."""
    bring.need_program("mmdebstrap", "mmdebstrap")
    parts.empty(part)
    argv = ["mmdebstrap", "--format=directory", f"--variant={recipe.variant}"]
    argv += [f"--include={recipe.include}"] if recipe.include else []
    argv += [recipe.suite, part.tree, *([recipe.mirror] if recipe.mirror else [])]
    _run(part, argv, f"{DEBIAN}{recipe.suite}")
    for name in ("etc/hostname", "etc/resolv.conf"):  # copies of this machine's
        within.remove(part.tree, paths.Inside(part.tree).entry(name))


def _from_layout(part: Part, layout: str, tag: str, shown: str) -> None:
    """Let umoci apply the layers of one image of a layout.

    umoci wants a tag, which not every layout has: it gets a layout of ours, with the same blobs.
    """
    bring.need_program("umoci", "umoci")
    ours, bundle = f"{part.top}/layout", f"{part.top}/bundle"
    os.mkdir(ours)
    os.symlink(f"{layout}/blobs", f"{ours}/blobs")
    version = within.text(layout, "oci-layout") or ""
    atomic.write(f"{ours}/oci-layout", version, durable=False)
    atomic.write(f"{ours}/index.json", _index(layout, tag, shown), durable=False)
    _run(part, ["umoci", "unpack", "--image", f"{ours}:{_CHOSEN}", bundle], shown)
    os.rename(f"{bundle}/rootfs", part.tree)


def _need_plain(part: Part, shown: str) -> None:
    """Raise StoreError where a layout out of an archive has more than files and directories.

    A link in it could hand this server's own files to whatever reads the layout, a fifo stop it.
    """
    for path, is_dir in tree.listing(part.tree):
        if not is_dir and not stat.S_ISREG(os.lstat(f"{part.tree}/{path}").st_mode):
            parts.drop(part)
            raise StoreError(f"{shown}: {path} in it is no regular file", "no OCI image has such")


def _index(layout: str, tag: str, shown: str) -> str:
    """An index of the one image that is wanted. Raises UsageError where there are several."""
    try:
        index = json.loads(within.text(layout, "index.json", _LARGEST_INDEX) or "")
        entries = [dict(each) for each in index["manifests"]]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{shown}: its index.json cannot be read") from error
    tags = [str((each.get("annotations") or {}).get(_TAG, "")) for each in entries]
    fitting = [each for each, its in zip(entries, tags) if tag in ("", its)]
    if len(fitting) != 1:
        there = ", ".join(sorted(filter(None, tags))) or "without tags"
        wrong = f"has no image {tag}" if tag else f"has {len(fitting)} images"
        raise UsageError(f"{shown} {wrong}: {there}", "name one with --tag")
    chosen = {**fitting[0], "annotations": {_TAG: _CHOSEN}}
    return json.dumps({**index, "manifests": [chosen]})


def _run(part: Part, argv: Sequence[str], shown: str) -> None:
    """Run an unpacking program. Where it fails, nothing is left but the room."""
    done = process.run(argv)
    if done.code == 0:
        return
    parts.drop(part)
    if done.full_disk:
        words = f"the disk under {part.top} is full: {done.full_disk}"
        raise StoreError(words, "make room; nothing is left")
    said = done.err.decode(errors="replace")
    lines = [line for line in said.splitlines() if "exit" not in line.lower() and line.strip()]
    errors = [line[3:] for line in lines if line.startswith("E: ")]  # apt's, the cause first
    words = next((line.strip() for line in errors or lines), "") or done.last_words()
    raise StoreError(f"{shown}: {words}", done.command)
