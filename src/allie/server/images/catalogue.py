"""The store's images: list them, describe one, remove one."""

from __future__ import annotations

import configparser
import glob
import os

from allie.core import facts
from allie.core.conf import settings
from allie.core.errors import PathRefused, UsageError, did_you_mean
from allie.core.value import Value
from allie.machine.files import atomic, tree
from allie.machine.roots import kernels, paths, within
from allie.server.images import draft


class Image(Value):
    """An image, as its files tell."""

    name: str
    size: int  # bytes on the disk
    files: int
    distro: str  # os-release ID; "" where there is none
    release: str  # VERSION_ID
    pretty: str
    kernels: tuple[str, ...]


def names(store: str) -> list[str]:
    """The names of the store's images, sorted; what is being made is none yet."""
    return [name for name in _there(store) if _is_image(store, name)]


def passed_over(store: str) -> list[str]:
    """What else lies among the images: a link, which would lead out, or a name that is none."""
    return [name for name in _there(store) if not _is_image(store, name)]


def _there(store: str) -> list[str]:
    return sorted(name for name in tree.names(f"{store}/images") if name[0] != ".")


def _is_image(store: str, name: str) -> bool:
    path = f"{store}/images/{name}"
    return settings.is_name(name) and os.path.isdir(path) and not os.path.islink(path)


def need(store: str, name: str) -> str:
    """The directory of an image. Raises UsageError if there is none of that name."""
    if settings.check_name(name, "image") not in names(store):
        meant = did_you_mean(name, names(store))
        raise UsageError(f"there is no image {name} in {store}", meant or "allie image list")
    return f"{store}/images/{name}"


def is_root(top: str) -> bool:
    """Whether a directory looks like the root of a Linux system."""
    try:
        return all(paths.Inside(top).directory(name).exists for name in ("etc", "usr"))
    except PathRefused:
        return False  # a link that leads nowhere in there


def describe(store: str, name: str) -> Image:
    """Look at an image; every file of it is counted."""
    top = need(store, name)
    blocks = files = 0
    seen = set()
    for path, is_dir in tree.listing(top):
        st = os.lstat(f"{top}/{path}")
        files += not is_dir
        if st.st_nlink > 1 and not is_dir:
            if st.st_ino in seen:
                continue
            seen.add(st.st_ino)
        blocks += st.st_blocks
    release = facts.parse_os_release(within.text(top, "etc/os-release") or "")
    return Image(
        name,
        blocks * 512,
        files,
        release.id,
        release.version,
        release.pretty or f"{release.id} {release.version}".strip(),
        tuple(sorted(kernels.releases(top))),
    )


def remove(store: str, name: str) -> bool:
    """Remove an image and what was left of imports of it; whether there was an image."""
    settings.check_name(name, "image")
    there = name in names(store)
    if not there and name not in draft.unfinished(store):
        need(store, name)
    with draft.begun(store, name) as work:
        if there:
            draft.withdraw(work)
        else:
            draft.drop(work)
    return there


def mentions(store: str, name: str) -> list[str]:
    """The settings in the store's overlays (allie.conf, its variants) that name an image."""
    found = []
    for path in sorted(glob.glob(f"{glob.escape(store)}/overlays/*/etc*/allie*/allie.conf*")):
        ini = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=(";",))
        try:
            ini.read_string(atomic.read(path) or "")
        except configparser.Error:
            continue  # overlay lint has more to say of it
        if any(ini.get(each, "image", fallback="").strip() == name for each in ini.sections()):
            found.append(os.path.relpath(path, store))
    if os.path.isdir(f"{store}/overlays/{name}"):
        found.append(f"overlays/{name}")
    return found
